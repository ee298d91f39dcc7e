package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"

	"hauberk.dev"
	"hauberk.dev/guard/https"
	"hauberk.dev/internal/owner"
)

// greet says, in a few lines, where Hauberk listens, what it guards, what is
// weakened, and what else the operator should know before the first request.
func greet(v voice, l loaded, chain *hauberk.Chain, open sockets) {
	v.line("%s %s", v.bold("hauberk"), version())
	if open.secure != nil {
		v.line("  listens   %s", publicURL(l.Config, open.secure.Addr()))
	}
	if open.clear != nil {
		v.line("  clear     %s, redirects and refusals only", open.clear.Addr())
	}
	if open.proxies != nil {
		v.line("  proxies   %s, clear text from trusted_proxies alone", open.proxies.Addr())
	}
	if l.ProxyProtocol {
		v.line("  PROXY     comes first on every connection, from trusted_proxies alone")
	}
	guarded := upstreams(l.Config)
	if len(guarded) == 0 {
		v.line("  guards    nothing: no site is configured, every request is refused")
	}
	for _, s := range l.Sites {
		v.line("  guards    %s for %s", s.To, servedHosts(l.Config, s))
	}
	if l.LogFile != "" {
		v.line("  log       %s, at most %s with the %d files before it", l.LogFile, cmp.Or(l.LogSize, logSize), logFiles-1)
	}
	weaknesses(v, l, chain)
	sayVault(v, l)
	v.line("  refusals  `hauberk explain INCIDENT%s` tells why", stateFlag(l.State))
	if exists(https.CAFile(l.State)) {
		v.line("  CA        %s", https.CAFile(l.State))
		v.line("            run `hauberk trust%s` once so that browsers believe it", stateFlag(l.State))
	}
}

// weaknesses says what is weakened, and what the operator should know.
func weaknesses(v voice, l loaded, chain *hauberk.Chain) {
	for _, note := range chain.Notes() {
		v.line("  %s  %s", v.yellow("weakened"), note)
	}
	for _, at := range chain.Standing() {
		v.line("  HSTS      %s", at)
	}
	issuance(v, chain)
	for _, w := range warnings(l, chain) {
		v.warn("%s", w)
	}
}

// issuance says which certificates will be asked for, and how.
func issuance(v voice, chain *hauberk.Chain) {
	for _, note := range chain.Issuance() {
		v.line("  ACME      %s", note)
	}
}

// warnings are what serve says at start and check looks for.
func warnings(l loaded, chain *hauberk.Chain) []string {
	all := append(appWarnings(l.Config), bearerWarnings(l.Config)...)
	for _, to := range upstreams(l.Config) {
		if port, ok := localPort(to); ok && len(listeners(port)) == 0 && haveProc() {
			all = append(all, "nothing listens on "+to+" yet: start the app")
		}
	}
	if i, err := os.Stat(l.file); l.file != "" && err == nil {
		if err := cmp.Or(owner.Only(l.file, i), ownFolders(l.file)); err != nil {
			all = append(all, "a reload would keep the old configuration: "+err.Error())
		}
	}
	for _, e := range chain.Lapsed() {
		all = append(all, "the exception to "+e.Rule+" ended on "+e.Until.Format("2006-01-02")+": the rule applies again")
	}
	return all
}

// bearerWarnings finds what only a bearer token opens where none is ever taken.
func bearerWarnings(c hauberk.Config) []string {
	if len(c.Identity.Tokens) > 0 {
		return nil
	}
	var all []string
	for i, s := range c.Sites {
		for _, bearer := range s.Access.Bearers() {
			all = append(all, fmt.Sprintf("sites[%d].access.%s lets nobody in, ever: identity.tokens lists no issuer of bearer tokens", i, bearer))
		}
	}
	return all
}

func servedHosts(c hauberk.Config, s hauberk.Site) string {
	hosts := s.Hosts
	if len(hosts) == 0 {
		hosts = c.Host
	}
	if len(hosts) == 0 {
		return "localhost, *.localhost, *.test and loopback addresses"
	}
	return strings.Join(hosts, ", ")
}

// publicURL is what to type into a browser.
func publicURL(c hauberk.Config, addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	names := c.Host
	if len(c.Sites) > 0 && len(c.Sites[0].Hosts) > 0 {
		names = c.Sites[0].Hosts
	}
	name := "localhost"
	if i := slices.IndexFunc(names, func(n string) bool { return !strings.HasPrefix(n, "*") }); i >= 0 {
		name = names[i]
	}
	where := "all addresses"
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		where = host
	}
	if port == "443" {
		return "https://" + name + " (on " + where + ")"
	}
	return "https://" + name + ":" + port + " (on " + where + ")"
}

// stateFlag is how another verb finds the same state.
func stateFlag(dir string) string {
	if usual, err := defaultState(); err == nil && usual == dir {
		return ""
	}
	return " --state " + shellWord(dir)
}

// shellWord quotes a word that a shell would take apart.
func shellWord(s string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./@:+,-]+$`).MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
