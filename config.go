package hauberk

import (
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/csrf"
	"hauberk.dev/guard/fault"
	"hauberk.dev/guard/harden"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/https"
	"hauberk.dev/guard/identity"
	"hauberk.dev/guard/monitor"
	"hauberk.dev/guard/ratelimit"
	"hauberk.dev/guard/session"
	"hauberk.dev/internal/settings"
)

// Config is hauberk.yaml. Its zero value is the strictest there is: nobody is
// let in.
type Config struct {
	// Listen is the address of the TLS listener, ":8443"; "none" opens none.
	Listen string `yaml:"listen"`
	// HTTP is the address of a clear-text listener, which redirects
	// navigations and refuses the rest; "" opens none.
	HTTP string `yaml:"http"`
	// Proxies are the load balancers and proxies that are believed when they
	// say for whom they ask; nobody else ever is.
	Proxies []netip.Prefix `yaml:"trusted_proxies"`
	// ProxyProtocol says that a PROXY header, version 1 or 2, comes first on
	// every connection to Listen and HTTP, from trusted proxies alone.
	ProxyProtocol bool `yaml:"proxy_protocol"`
	// ProxyHTTP is the address of a clear-text listener for trusted proxies
	// alone, which end TLS; "" opens none.
	ProxyHTTP string `yaml:"proxy_http"`
	// Host lists the names that are served where a site lists none. Empty
	// means localhost, *.localhost, *.test and loopback addresses.
	Host []string `yaml:"host"`
	// State is the directory for keys and certificates; "" keeps nothing.
	State string `yaml:"state"`
	// Log is the format of the log, "json" or "text".
	Log string `yaml:"log" enum:"json,text"`
	// LogFile is where the command writes the log; "" is its standard output. A
	// library writes where its Logger does.
	LogFile string `yaml:"log_file"`
	// LogSize is how large LogFile and the seven files that it is moved to become
	// together; 0 is 512 MiB, the least 1 MiB.
	LogSize guard.Size `yaml:"log_size"`

	// One section a room, the same word as its folder. They hold for all
	// sites; a site or a route may hold a section of its own.
	Monitor   monitor.Config   `yaml:"monitor"`
	Headers   headers.Config   `yaml:"headers"`
	Fault     fault.Config     `yaml:"fault"`
	Harden    harden.Config    `yaml:"harden"`
	HTTPS     https.Config     `yaml:"https"`
	RateLimit ratelimit.Config `yaml:"ratelimit"`
	Session   session.Config   `yaml:"session"`
	CSRF      csrf.Config      `yaml:"csrf"`
	Identity  identity.Config  `yaml:"identity"`

	// Sites are what is guarded. None: every request is refused.
	Sites []Site `yaml:"sites"`
	// Exceptions are the only way to break a rule.
	Exceptions []guard.Exception `yaml:"exceptions"`

	// Record gets every event, after the log; nil for nobody.
	Record func(guard.Event) `yaml:"-"`
	// Logger writes access lines and events; nil means slog's default.
	Logger *slog.Logger `yaml:"-"`
}

// Site is a set of hosts with one list of routes.
type Site struct {
	// Hosts are the names that the site answers to, "shop.example.com" or
	// "*.example.com". Empty means Config.Host.
	Hosts []string `yaml:"hosts"`
	// To is the upstream: "http://127.0.0.1:3000", "https://host" (verified)
	// or "unix:/run/app.sock". A library has none.
	To string `yaml:"to"`
	// Access says who may do what: "app", the app decides, or a list of rules,
	// beside which everything is refused. A site without it does not start.
	Access access.Config `yaml:"access"`
	// MethodOverride says where the app takes another method from: "query",
	// "header" or "body"; "" means nowhere, and then none is believed.
	MethodOverride string `yaml:"method_override" enum:"query,header,body"`
	// Routing says how the app matches paths: "" ignores letter case, doubled
	// and final slashes and path parameters, as Express does; "exact" says
	// that the app is stricter.
	Routing string `yaml:"routing" enum:"exact"`

	Sections `yaml:",inline"`

	// Routes are the exceptions to the site, matched once for all rooms.
	Routes []Route `yaml:"routes"`
}

// Route is an entry in a site's list.
type Route struct {
	// On is a ServeMux pattern without a host: "POST /webhooks/stripe",
	// "/admin/", "/users/{id}".
	On string `yaml:"on"`
	// To is an upstream of the route's own; "" means the site's.
	To string `yaml:"to"`

	Sections `yaml:",inline"`
}

// Sections are the rooms' settings of a site or a route. One that is nil is
// as the level above; in a file, one that is there starts as the level above
// and changes what it names.
type Sections struct {
	Headers   *headers.Config   `yaml:"headers" inherit:"true"`
	Fault     *fault.Config     `yaml:"fault" inherit:"true"`
	Harden    *harden.Config    `yaml:"harden" inherit:"true"`
	HTTPS     *https.Config     `yaml:"https" inherit:"true"`
	RateLimit *ratelimit.Config `yaml:"ratelimit" inherit:"true"`
	Session   *session.Config   `yaml:"session" inherit:"true"`
	CSRF      *csrf.Config      `yaml:"csrf" inherit:"true"`
}

// over returns s with what it leaves out taken from the level above.
func (s Sections) over(above Sections) Sections {
	if s.Headers == nil {
		s.Headers = above.Headers
	}
	if s.Fault == nil {
		s.Fault = above.Fault
	}
	if s.Harden == nil {
		s.Harden = above.Harden
	}
	if s.HTTPS == nil {
		s.HTTPS = above.HTTPS
	}
	if s.RateLimit == nil {
		s.RateLimit = above.RateLimit
	}
	if s.Session == nil {
		s.Session = above.Session
	}
	if s.CSRF == nil {
		s.CSRF = above.CSRF
	}
	return s
}

// Parse reads a configuration file, strictly, and finds every mistake in it
// at once. The Doc knows the place of each key, for mistakes that New finds.
// The files that it names are sought from its own folder.
func Parse(file string, src []byte) (Config, *settings.Doc, error) {
	var c Config
	doc, err := settings.Decode(file, src, &c)
	if err != nil {
		return c, doc, err
	}
	return c, doc, c.anchor(filepath.Dir(file))
}

// anchor makes the names of files in c absolute, as seen from folder.
func (c *Config) anchor(folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	from := func(name *string) {
		if *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(folder, *name)
		}
	}
	files := func(h *headers.Config, s *https.Config) {
		if h != nil {
			if h.Lock == "" && h.Profile == "learned" {
				h.Lock = headers.DefaultLock
			}
			from(&h.Lock)
		}
		if s == nil {
			return
		}
		// A section that inherits a list has the very same one.
		for i := range s.Certificates {
			from(&s.Certificates[i].Cert)
			from(&s.Certificates[i].Key)
		}
		for i := range s.ACME.Authorities {
			from(&s.ACME.Authorities[i].Roots)
		}
	}
	files(&c.Headers, &c.HTTPS)
	from(&c.Identity.Logo)
	from(&c.Identity.Texts)
	from(&c.Identity.JWKS)
	for i := range c.Identity.Tokens {
		from(&c.Identity.Tokens[i].Keys)
	}
	for i := range c.Sites {
		st := &c.Sites[i]
		files(st.Headers, st.HTTPS)
		from(&st.Access.Policies)
		for k := range st.Routes {
			files(st.Routes[k].Headers, st.Routes[k].HTTPS)
		}
	}
	return nil
}

// Load reads a configuration; an unknown key is an error with its line.
func Load(r io.Reader) (Config, error) {
	src, err := io.ReadAll(io.LimitReader(r, 1<<20+1))
	if err != nil {
		return Config{}, err
	}
	c, _, err := Parse("hauberk.yaml", src)
	return c, err
}
