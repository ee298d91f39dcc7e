package guard_test

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/csrf"
	"hauberk.dev/guard/fault"
	"hauberk.dev/guard/harden"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/https"
	"hauberk.dev/guard/identity"
	"hauberk.dev/guard/identity/oidc"
	"hauberk.dev/guard/identity/token"
	"hauberk.dev/guard/monitor"
	"hauberk.dev/guard/ratelimit"
	"hauberk.dev/guard/session"
)

// section is the config of a room.
type section interface{ Weakened() []string }

// weakened says of every key of every room which value is weaker than the
// default, with the line that says so, and which is not; of a key that can only
// be stricter, the latter alone.
var weakened = map[string]struct {
	weak section
	want string
	fine section
}{
	"harden.methods":            {harden.Config{Methods: []string{"GET", "PROPFIND"}}, `methods: "PROPFIND" may be asked for`, harden.Config{Methods: []string{"GET"}}},
	"harden.served":             {harden.Config{Served: []string{"/.env\x1b"}}, `served: "/.env\x1b" is served`, nil},
	"harden.request_line":       {harden.Config{RequestLine: 64 * guard.KiB}, "request_line: 64KiB (default 8KiB)", harden.Config{RequestLine: guard.KiB}},
	"harden.headers":            {harden.Config{Headers: 64 * guard.KiB}, "headers: 64KiB (default 12KiB)", harden.Config{Headers: guard.KiB}},
	"harden.total":              {harden.Config{Total: 64 * guard.KiB}, "total: 64KiB (default 14KiB)", harden.Config{Total: 14 * guard.KiB}},
	"harden.fields":             {harden.Config{Fields: 1000}, "fields: 1000 (default 100)", harden.Config{Fields: 50}},
	"harden.header_time":        {harden.Config{HeaderTime: time.Minute}, "header_time: 1m (default 5s)", harden.Config{HeaderTime: time.Second}},
	"harden.min_rate":           {harden.Config{MinRate: 1}, "min_rate: 1B (default 1KiB)", harden.Config{MinRate: 2 * guard.KiB}},
	"harden.idle":               {harden.Config{Idle: time.Hour}, "idle: 1h (default 1m15s)", harden.Config{Idle: time.Minute}},
	"harden.connections":        {harden.Config{Connections: 1000000}, "connections: 1000000 (default 100)", harden.Config{Connections: 10}},
	"harden.streams":            {harden.Config{Streams: 1000}, "streams: 1000 (default 100)", harden.Config{Streams: 10}},
	"harden.resets":             {harden.Config{Resets: 3000}, "resets: 3000 (default 300)", harden.Config{Resets: 30}},
	"harden.underscore_headers": {harden.Config{UnderscoreHeaders: []string{"api_key"}}, `underscore_headers: "api_key" passes`, nil},
	"harden.identity_headers":   {nil, "", harden.Config{IdentityHeaders: []string{"X-Employee"}}},

	"headers.profile":          {headers.Config{Profile: "compat"}, "profile: compat (default strict)", headers.Config{Profile: "api"}},
	"headers.lock":             {nil, "", headers.Config{Lock: "hauberk.csp.lock"}},
	"headers.no_reports":       {headers.Config{NoReports: true}, "no_reports: browsers do not say", nil},
	"headers.override":         {override("Content-Security-Policy", "default-src *"), `override.Content-Security-Policy: "default-src *" allows more than profile strict`, override("referrer-policy", "no-referrer")},
	"headers.cors_origins":     {headers.Config{CORSOrigins: []string{"https://a.test"}}, `cors_origins: "https://a.test" may read answers`, nil},
	"headers.session_cookies":  {nil, "", headers.Config{SessionCookies: []string{"app"}}},
	"headers.readable_cookies": {headers.Config{ReadableCookies: []string{"sid"}}, `readable_cookies: "sid" can be read by scripts`, nil},
	"headers.keep":             {headers.Config{Keep: []string{"Server"}}, `keep: "Server" tells about the software behind`, nil},

	"csrf.trusted_origins": {csrf.Config{TrustedOrigins: []string{"https://a.test"}}, `trusted_origins: "https://a.test" may send requests`, nil},
	"csrf.json":            {nil, "", csrf.Config{JSON: true}},

	"session.idle":            {session.Config{Idle: 2 * time.Hour}, "idle: 2h (default 1h)", session.Config{Idle: time.Minute}},
	"session.absolute":        {session.Config{Absolute: 48 * time.Hour}, "absolute: 48h (default 24h)", session.Config{Absolute: time.Hour}},
	"session.strict_idle":     {session.Config{StrictIdle: time.Hour}, "strict_idle: 1h (default 15m)", session.Config{StrictIdle: 5 * time.Minute}},
	"session.strict_absolute": {session.Config{StrictAbsolute: 24 * time.Hour}, "strict_absolute: 24h (default 12h)", session.Config{StrictAbsolute: time.Hour}},
	"session.per_user":        {session.Config{PerUser: 50}, "per_user: 50 (default 10)", session.Config{PerUser: 1}},
	"session.vault":           {session.Config{Vault: "off"}, "vault: off", session.Config{Vault: "on"}},

	"identity.service":         {nil, "", identity.Config{Service: "Shop"}},
	"identity.logo":            {nil, "", identity.Config{Logo: "logo.svg"}},
	"identity.accent":          {nil, "", identity.Config{Accent: "#000000"}},
	"identity.accent_dark":     {nil, "", identity.Config{AccentDark: "#ffffff"}},
	"identity.texts":           {nil, "", identity.Config{Texts: "texts.json"}},
	"identity.service_workers": {identity.Config{ServiceWorkers: []string{"/files/sw.js"}}, `service_workers: "/files/sw.js" may rule more than its folder`, nil},
	"identity.issuer":          {nil, "", identity.Config{Issuer: "https://id.test"}},
	"identity.host":            {nil, "", identity.Config{Host: "login.example.com"}},
	"identity.audience":        {nil, "", identity.Config{Audience: "shop"}},
	"identity.jwks":            {nil, "", identity.Config{JWKS: "jwks.json"}},
	"identity.password":        {nil, "", identity.Config{Password: identity.Password{Min: 20, Words: []string{"shop"}}}},
	"identity.providers":       {providers(oidc.Config{Anyone: true}), "providers[0].anyone: everybody whom https://id.test knows may sign in", providers(oidc.Config{})},
	"identity.tokens":          {identity.Config{Tokens: []token.Config{{Issuer: "https://id.test"}}}, `tokens: "https://id.test" may speak for users`, nil},

	"fault.leaks": {nil, "", fault.Config{Leaks: "refuse"}},
	"fault.hold":  {fault.Config{Hold: 1}, "hold: 1B (default 32KiB)", fault.Config{Hold: guard.MiB}},

	"ratelimit.rate":        {ratelimit.Config{Rate: perMinute(600, 600)}, "rate: 600/min (default 300/min burst 60 for methods", ratelimit.Config{Rate: perMinute(10, 5)}},
	"ratelimit.safe":        {ratelimit.Config{Safe: perMinute(1200, 601)}, "safe: 1200/min burst 601 (default 1200/min burst 600)", ratelimit.Config{Safe: perMinute(1200, 600)}},
	"ratelimit.unsafe":      {ratelimit.Config{Unsafe: perMinute(301, 60)}, "unsafe: 301/min burst 60 (default 300/min burst 60)", ratelimit.Config{Unsafe: perMinute(1, 1)}},
	"ratelimit.cost":        {nil, "", ratelimit.Config{Cost: 5}},
	"ratelimit.allow":       {ratelimit.Config{Allow: local}, `allow: "127.0.0.0/8" is never limited`, nil},
	"ratelimit.deny":        {nil, "", ratelimit.Config{Deny: local}},
	"ratelimit.concurrency": {ratelimit.Config{Concurrency: 4096}, "concurrency: 4096 (default 2048)", ratelimit.Config{Concurrency: 8}},

	"https.certificates":    {nil, "", https.Config{Certificates: []https.Pair{{Cert: "a", Key: "b"}}}},
	"https.acme":            {nil, "", https.Config{ACME: https.ACME{Agreed: true}}},
	"https.min_tls":         {nil, "", https.Config{MinTLS: "1.2"}},
	"https.port":            {nil, "", https.Config{Port: 8443}},
	"https.hsts":            {https.Config{HSTS: time.Second}, "hsts: 1s (default 5m)", https.Config{HSTS: time.Hour}},
	"https.hsts_subdomains": {nil, "", https.Config{HSTSSubdomains: true}},
	"https.hsts_preload":    {nil, "", https.Config{HSTSPreload: true}},
	"https.hsts_local":      {nil, "", https.Config{HSTSLocal: true}},
	"https.hsts_withdraw":   {https.Config{HSTSWithdraw: true}, "hsts_withdraw: browsers forget", nil},

	"monitor.listen": {monitor.Config{Listen: "127.0.0.1:9464"}, `listen: "127.0.0.1:9464": every user of this machine`, nil},
	"monitor.size":   {monitor.Config{Size: guard.GiB}, "size: 1GiB (default 2GiB)", monitor.Config{Size: 4 * guard.GiB}},
	"monitor.keep":   {monitor.Config{Keep: 24 * time.Hour}, "keep: 24h (default 720h)", monitor.Config{Keep: 1000 * time.Hour}},
	"monitor.queue":  {monitor.Config{Queue: 1}, "queue: 1 (default 4096)", monitor.Config{Queue: 65536}},
}

var local = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func providers(c oidc.Config) identity.Config {
	c.Issuer = "https://id.test"
	return identity.Config{Providers: []oidc.Config{c}}
}

func perMinute(limit, burst int) ratelimit.Rate {
	return ratelimit.Rate{Limit: limit, Per: time.Minute, Burst: burst}
}

func override(name, value string) headers.Config {
	return headers.Config{Override: map[string]string{name: value}}
}

// TestEveryKeyThatWeakensSaysSo walks the sections of the whole config, so that
// no room and no key can be forgotten.
func TestEveryKeyThatWeakensSaysSo(t *testing.T) {
	seen := map[string]bool{}
	root := reflect.TypeFor[hauberk.Config]()
	for i := range root.NumField() {
		room := root.Field(i)
		if !strings.HasPrefix(room.Type.PkgPath(), "hauberk.dev/guard/") || room.Type.Kind() != reflect.Struct {
			continue
		}
		name, _, _ := strings.Cut(room.Tag.Get("yaml"), ",")
		zero, ok := reflect.Zero(room.Type).Interface().(section)
		if !ok {
			t.Errorf("%s: got a Config without Weakened", name)
			continue
		}
		if got := zero.Weakened(); len(got) != 0 {
			t.Errorf("%s: the default is said to be weaker: %q", name, got)
		}
		for j := range room.Type.NumField() {
			key, _, _ := strings.Cut(room.Type.Field(j).Tag.Get("yaml"), ",")
			key = name + "." + key
			seen[key] = true
			row, ok := weakened[key]
			if !ok {
				t.Errorf("%s: say here which value of it is weaker than the default", key)
				continue
			}
			for _, c := range []section{row.weak, row.fine} {
				if c != nil && (reflect.TypeOf(c) != room.Type || reflect.ValueOf(c).Field(j).IsZero()) {
					t.Errorf("%s: %+v does not set it", key, c)
				}
			}
			if row.weak != nil {
				if got := row.weak.Weakened(); len(got) != 1 || !strings.HasPrefix(got[0], row.want) || row.want == "" {
					t.Errorf("%s: got %q, want %q", key, got, row.want)
				}
			}
			if row.fine != nil {
				if got := row.fine.Weakened(); len(got) != 0 {
					t.Errorf("%s: got %q of a value that is not weaker", key, got)
				}
			}
		}
	}
	for key := range weakened {
		if !seen[key] {
			t.Errorf("%s is no key", key)
		}
	}
}

// TestWhatAProviderOrAnIssuerWeakensIsToldAtItsPlace walks the keys of the two
// lists of room identity.
func TestWhatAProviderOrAnIssuerWeakensIsToldAtItsPlace(t *testing.T) {
	fine := oidc.Config{Issuer: "https://id.test", Algorithms: []string{"ES256"}}
	for want, c := range map[string]identity.Config{
		`providers[1].algorithms: "RS512" may sign`:                      {Providers: []oidc.Config{fine, {Issuer: "https://id.test", Algorithms: []string{"ES256", "RS512"}}}},
		"providers[1].client_secret: stands in the config":               {Providers: []oidc.Config{fine, {Issuer: "https://id.test", ClientSecret: "s"}}},
		`providers[1].issuer: "http://127.0.0.1:1" is asked without TLS`: {Providers: []oidc.Config{fine, {Issuer: "http://127.0.0.1:1"}}},
		`tokens[0].types: "none" lets in`:                                {Tokens: []token.Config{{Issuer: "https://id.test", Types: []string{"none"}}}},
		`tokens[0].algorithms: "PS512" may sign`:                         {Tokens: []token.Config{{Issuer: "https://id.test", Algorithms: []string{"PS512"}}}},
		`tokens[0].issuer: "http://127.0.0.1:1" is asked for keys`:       {Tokens: []token.Config{{Issuer: "https://id.test", JWKS: "http://127.0.0.1:1"}}},
	} {
		got := slices.DeleteFunc(c.Weakened(), func(s string) bool { return strings.HasPrefix(s, "tokens: ") })
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestAnOverrideIsHeldToItsProfile tells a stricter value from a weaker one.
func TestAnOverrideIsHeldToItsProfile(t *testing.T) {
	for _, c := range []struct {
		profile, name, value string
		weaker               bool
	}{
		{"", "X-Frame-Options", "SAMEORIGIN", true},
		{"", "x-frame-options", "DENY", false},
		{"compat", "X-Frame-Options", "SAMEORIGIN", false},
		{"", "Cross-Origin-Resource-Policy", "cross-origin", true},
		{"", "Cross-Origin-Embedder-Policy", "unsafe-none", false}, // the profile sends none
		{"api", "Cross-Origin-Embedder-Policy", "unsafe-none", true},
		{"compat", "Content-Security-Policy", "default-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'self'", false},
		{"", "Content-Security-Policy", "object-src 'none'; base-uri 'self'; frame-ancestors 'self'", true},
		{"", "Permissions-Policy", "camera=()", true}, // and nothing about the others
	} {
		config := override(c.name, c.value)
		config.Profile = c.profile
		got := slices.ContainsFunc(config.Weakened(), func(s string) bool { return strings.HasPrefix(s, "override."+c.name+": ") })
		if got != c.weaker {
			t.Errorf("%s of %q: %q is said to be weaker: %t, want %t", c.name, c.profile, c.value, got, c.weaker)
		}
	}
}
