package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"hauberk.dev/guard"
)

// methods are the values of label method. What a client makes up is "other",
// so that it cannot make series.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}

// classes are the values of label code.
var classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// metrics are the numbers. Their labels are fixed: no text of a client is one.
type metrics struct {
	registry *prometheus.Registry
	requests [len(classes)][len(methods)]prometheus.Counter
	seconds  prometheus.Histogram
	inFlight prometheus.Gauge
	events   *prometheus.CounterVec
	dropped  prometheus.Counter
	failures prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hauberk_requests_total", Help: "Requests answered, by class of status and method; none: no answer left."},
		[]string{"code", "method"})
	for c, code := range classes {
		for n, name := range methods {
			m.requests[c][n] = requests.WithLabelValues(code, name)
		}
	}
	m.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "hauberk_request_seconds", Help: "Time from the request's head to the end of its answer; upgrades are left out.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}})
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "hauberk_in_flight", Help: "Requests being answered."})
	m.events = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hauberk_events_total", Help: "Events, by rule and verdict."}, []string{"rule", "verdict"})
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hauberk_events_dropped_total", Help: "Events that did not reach the journal."})
	m.failures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hauberk_event_write_failures_total", Help: "Writes to the journal that failed."})
	m.registry.MustRegister(requests, m.seconds, m.inFlight, m.events, m.dropped, m.failures,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(method string, status int, took time.Duration) {
	class := status / 100
	if class < 0 || class >= len(classes) {
		class = 0
	}
	n := len(methods) - 1
	for i, name := range methods[:n] {
		if name == method {
			n = i
			break
		}
	}
	m.requests[class][n].Inc()
	if status != 101 {
		m.seconds.Observe(took.Seconds())
	}
}

func (m *metrics) event(e guard.Event) {
	m.events.WithLabelValues(e.Rule.ID, e.Verdict.String()).Inc()
}
