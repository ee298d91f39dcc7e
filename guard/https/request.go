package https

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hauberk.dev/guard"
)

var (
	redirect = &guard.Rule{
		ID: "https.redirect", Severity: guard.Info, Status: http.StatusPermanentRedirect,
		Title: "this page is served over https", CWE: 319, ASVS: []string{"4.1.2", "12.2.1"},
		Fix: "link to https://; browsers that have been here once come back that way by themselves (https.hsts)",
	}
	clearText = &guard.Rule{
		ID: "https.clear-text", Severity: guard.High, Status: http.StatusForbidden,
		Title: "this service is served over https only", CWE: 319, ASVS: []string{"4.1.2", "4.4.1", "12.2.1"},
		Fix: "send the request to https://, and change any secret that it carried: it has crossed the network in the clear",
	}
)

const strictTransport = "Strict-Transport-Security"

// check refuses clear text. A person is led to https; a program is told,
// because one that is redirected never learns that it sends everything twice,
// first in the clear (OWASP ASVS 4.1.2).
func (r *Room) check(q *http.Request) error {
	x := guard.From(q.Context())
	if x.Secure || r.o.AllowLoopbackClear && x.Local && guard.Conn(q.Context()) == nil {
		return nil
	}
	if !navigation(q, x) {
		return clearText.Deny("%s in clear text%s", q.Method, credentials(q))
	}
	h, ok := splitHost(q.Host)
	if !ok || !r.hosts.cover(h) {
		return clearText.Deny("a navigation in clear text to %q, which is not a host of ours", q.Host).In("header.Host")
	}
	target := q.RequestURI
	if !strings.HasPrefix(target, "/") {
		target = q.URL.RequestURI()
	}
	if !printable(target) {
		return clearText.Deny("a navigation in clear text to a target that is no URL").In("target")
	}
	to := "https://" + h.String()
	if r.c.Port != 0 && r.c.Port != 443 {
		to += ":" + strconv.Itoa(r.c.Port)
	}
	return redirect.Deny("a navigation in clear text%s", credentials(q)).With("Location", to+target)
}

// printable says that target starts a path and is ASCII without blanks: it can
// neither end the host of a URL nor a header line.
func printable(target string) bool {
	if !strings.HasPrefix(target, "/") {
		return false
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] > '~' {
			return false
		}
	}
	return true
}

// credentials tells what has crossed the network in the clear.
func credentials(q *http.Request) string {
	switch {
	case q.Header.Get("Authorization") != "":
		return ", with Authorization: whoever listened has it"
	case q.Header.Get("Cookie") != "":
		return ", with cookies that lack Secure: whoever listened has them"
	}
	return ""
}

// navigation says that a browser shows the answer to a person. Browsers send
// no Fetch Metadata to most clear-text URLs, so Accept decides in its absence.
func navigation(q *http.Request, x *guard.Exchange) bool {
	for _, m := range x.Methods(q) {
		if m != http.MethodGet && m != http.MethodHead {
			return false
		}
	}
	if q.Header.Get("Upgrade") != "" {
		return false
	}
	if mode := q.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	for _, line := range q.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			kind, params, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/html") {
				return !unwanted(params)
			}
		}
	}
	return false
}

// unwanted says that the parameters of a media range hold a weight of zero.
func unwanted(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			return err != nil || q <= 0
		}
	}
	return false
}

// amend sets Strict-Transport-Security where it belongs and takes it away
// where it does not: in clear text (RFC 6797, section 7.2), and on names of the
// developer's machine, where it would lock every other port out of clear text.
func (r *Room) amend(h http.Header, q *http.Request, _ int) error {
	x := guard.From(q.Context())
	n := 0
	if x.Route != nil && x.Route.N < len(r.headers) {
		n = x.Route.N
	}
	name, ok := splitHost(q.Host)
	at := -1
	if ok {
		at = r.hosts.find(name)
	}
	c, value := &r.routes[n], r.headers[n]
	local := name.local() || name.addr.IsValid()
	if !x.Secure || at < 0 || local && !c.HSTSLocal && !c.HSTSWithdraw {
		h.Del(strictTransport)
		return nil
	}
	age := c.HSTS
	if age == 0 && !c.HSTSWithdraw {
		age, value = r.ramp.age(at), r.ramp.value(at, c.HSTSSubdomains)
	}
	if c.HSTSWithdraw || !stricter(h.Values(strictTransport), *c, age) {
		h.Set(strictTransport, value)
	}
	return nil
}

// stricter says that the app's own header asks for at least what c and the
// ramp do.
func stricter(own []string, c Config, asked time.Duration) bool {
	if len(own) != 1 { // a browser heeds the first of several
		return false
	}
	age, subdomains, preload := int64(-1), false, false
	for d := range strings.SplitSeq(own[0], ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "max-age":
			n, err := strconv.ParseInt(strings.Trim(strings.TrimSpace(value), `"`), 10, 64)
			if err != nil || age >= 0 {
				return false
			}
			age = n
		case "includesubdomains":
			subdomains = true
		case "preload":
			preload = true
		}
	}
	return age >= int64(asked/time.Second) && (subdomains || !c.HSTSSubdomains) && (preload || !c.HSTSPreload)
}

func (c Config) age() time.Duration {
	if c.HSTS == 0 {
		return defaultAge
	}
	return c.HSTS
}

// hsts returns the header of c.
func hsts(c Config) (string, error) {
	var errs []error
	if c.HSTS < 0 || c.HSTS > mostAge || c.HSTS%time.Second != 0 {
		errs = append(errs, fmt.Errorf("https.hsts: %s is out of range: want whole seconds up to 87600h; https.hsts_withdraw takes it back", c.HSTS))
	}
	if c.HSTSPreload && (!c.HSTSSubdomains || c.age() < preloadAge) {
		errs = append(errs, errors.New("https.hsts_preload: browsers take it only with https.hsts_subdomains and https.hsts of 8760h or more"))
	}
	if c.HSTSPreload && c.HSTSWithdraw {
		errs = append(errs, errors.New("https.hsts_withdraw: contradicts https.hsts_preload"))
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	if c.HSTSWithdraw {
		return "max-age=0", nil
	}
	v := "max-age=" + strconv.FormatInt(int64(c.age()/time.Second), 10)
	if c.HSTSSubdomains {
		v += "; includeSubDomains"
	}
	if c.HSTSPreload {
		v += "; preload"
	}
	return v, nil
}
