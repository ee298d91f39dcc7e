package hauberk_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/internal/attack"
)

// numbers are the fifteen principles by the word for each.
var numbers = map[string]int{
	"input": 1, "identity": 2, "access": 3, "session": 4, "https": 5, "fault": 6, "headers": 7, "csrf": 8,
	"updates": 9, "audit": 10, "upload": 11, "ratelimit": 12, "database": 13, "harden": 14, "monitor": 15,
}

func newChain(t *testing.T) *hauberk.Chain {
	t.Helper()
	chain, err := hauberk.New(hauberk.Unmodified("http://127.0.0.1:1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// TestEveryFolderUnderGuardIsARoomOfTheChain finds rooms that nobody put in
// their place.
func TestEveryFolderUnderGuardIsARoomOfTheChain(t *testing.T) {
	entries, err := os.ReadDir("guard")
	if err != nil {
		t.Fatal(err)
	}
	var folders, rooms []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	for _, p := range newChain(t).Principles() {
		rooms = append(rooms, p.Name)
		if numbers[p.Name] != p.Number || p.Number == 0 {
			t.Errorf("%s: got number %d, want %d", p.Name, p.Number, numbers[p.Name])
		}
	}
	slices.Sort(rooms)
	if !slices.Equal(folders, rooms) {
		t.Errorf("got rooms %v in the chain, want the folders %v", rooms, folders)
	}
}

// TestEveryRoomHasTheSameFurniture reads the files that a room embeds.
func TestEveryRoomHasTheSameFurniture(t *testing.T) {
	for _, p := range newChain(t).Principles() {
		t.Run(p.Name, func(t *testing.T) {
			for _, name := range []string{"README.md", "config.yaml"} {
				embedded, err := fs.ReadFile(p.Files, name)
				if err != nil {
					t.Fatal(err)
				}
				onDisk, err := os.ReadFile(filepath.Join("guard", p.Name, name))
				if err != nil || string(onDisk) != string(embedded) {
					t.Errorf("%s: not the file of the folder (%v)", name, err)
				}
			}
			readme, _ := fs.ReadFile(p.Files, "README.md")
			for _, r := range p.Rules {
				if !strings.Contains("\n"+string(readme), "\n## "+r.ID+"\n") {
					t.Errorf("README.md has no heading %q", "## "+r.ID)
				}
			}
			for _, m := range regexp.MustCompile(`(?m)^## (`+p.Name+`\.\S+)$`).FindAllStringSubmatch(string(readme), -1) {
				if !slices.ContainsFunc(p.Rules, func(r *guard.Rule) bool { return r.ID == m[1] }) {
					t.Errorf("README.md has a heading for %q, which is no rule", m[1])
				}
			}
		})
	}
}

// TestConfigYAMLNamesEveryKey holds config.yaml against the room's Config: it
// starts, and so does each key that it shows commented out.
func TestConfigYAMLNamesEveryKey(t *testing.T) {
	for _, p := range newChain(t).Principles() {
		t.Run(p.Name, func(t *testing.T) {
			src, err := fs.ReadFile(p.Files, "config.yaml")
			if err != nil {
				t.Fatal(err)
			}
			config, _, err := hauberk.Parse("config.yaml", []byte(attack.Case{Config: string(src)}.Configuration()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := hauberk.New(config, nil); err != nil {
				t.Error(err)
			}
			section, ok := fieldTagged(reflect.TypeFor[hauberk.Config](), p.Name)
			if !ok {
				section, ok = fieldTagged(reflect.TypeFor[hauberk.Site](), p.Name)
			}
			if !ok {
				t.Fatalf("Config has no section %s", p.Name)
			}
			for _, key := range keys(section) {
				if !regexp.MustCompile(`(?m)^ *(# *)?` + key + `:`).Match(src) {
					t.Errorf("config.yaml does not name %s.%s", p.Name, key)
				}
			}
		})
	}
}

func fieldTagged(t reflect.Type, name string) (reflect.Type, bool) {
	for i := range t.NumField() {
		if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); tag == name {
			return t.Field(i).Type, true
		}
	}
	return nil, false
}

func keys(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); tag != "" && tag != "-" {
			all = append(all, tag)
		}
	}
	return all
}

// TestRulesAreNamedOnceAndAfterTheirRoom checks what a rule must say.
func TestRulesAreNamedOnceAndAfterTheirRoom(t *testing.T) {
	seen := map[string]bool{}
	id := regexp.MustCompile(`^[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*$`)
	for _, p := range newChain(t).Principles() {
		for _, r := range p.Rules {
			if !strings.HasPrefix(r.ID, p.Name+".") || !id.MatchString(r.ID) || seen[r.ID] {
				t.Errorf("%s: got the id %q, want one of its own that begins with the room", p.Name, r.ID)
			}
			seen[r.ID] = true
			if r.Title == "" || r.Fix == "" || !speaks(r.Status) {
				t.Errorf("%s: got title %q, fix %q, status %d", r.ID, r.Title, r.Fix, r.Status)
			}
		}
	}
}

// speaks says whether a rule may have this status: that of a refusal, of a
// redirect, or of an answer about which it notes a fact.
func speaks(status int) bool {
	return status == 0 || status == 200 || status == 308 || status >= 400 && status <= 599
}

// elsewhere are rules that no attack file can break, with the file and the test
// that do: they need a slow client, many connections, a certificate that
// changes, an app that is down or a room that is broken.
var elsewhere = map[string][2]string{
	"monitor.private-listener": {"guard/monitor/monitor_test.go", "TestThePrivateListenerOnTCPAnswersLoopbackNamesOnly"},
	"monitor.not-ready":        {"guard/monitor/monitor_test.go", "TestThePrivateListenerIsASocketForItsOwner"},
	"monitor.dropped":          {"guard/monitor/journal_test.go", "TestWhatTheDiskDoesNotTakeIsCountedAndJournalledLater"},
	"monitor.reload":           {"swap_test.go", "TestAReloadIsJournalledWhateverCameOfIt"},
	"fault.unreachable":        {"guard/fault/fault_test.go", "TestAFailedRoundTripBecomesTheRightStatus"},
	"fault.timeout":            {"guard/fault/fault_test.go", "TestAFailedRoundTripBecomesTheRightStatus"},
	"fault.internal":           {"rooms_test.go", "TestARoomThatCannotDecideLetsNobodyPass"},
	"harden.connections":       {"guard/harden/room_test.go", "TestAClientHoldsABoundedNumberOfConnections"},
	"harden.untrusted-proxy":   {"proxyproto_test.go", "TestADoorForProxiesIsClosedToAllOthers"},
	"harden.proxy-header":      {"proxyproto_test.go", "TestAConnectionWithoutAPROXYHeaderIsClosed"},
	"harden.resets":            {"guard/harden/http2_test.go", "TestAnHTTP2ConnectionThatAbandonsItsRequestsIsClosed"},
	"ratelimit.overload":       {"guard/ratelimit/load_test.go", "TestOneClientCannotTakeEveryPlace"},
	"ratelimit.store":          {"guard/ratelimit/ratelimit_test.go", "TestAStoreThatIsDownLimitsFromMemory"},
	"https.certificate-reload": {"guard/https/reload_test.go", "TestAChangedCertificateIsTakenOnlyWhole"},
	"https.certificate-expiry": {"guard/https/reload_test.go", "TestWhatEndsIsToldOnceADay"},
	"https.hsts":               {"guard/https/ramp_test.go", "TestHSTSClimbsWithTheTimeOfService"},
	"https.acme":               {"guard/https/pebble_test.go", "TestAnAuthorityThatIsDownLeavesTheOldCertificate"},
	"session.store":            {"guard/session/faults_test.go", "TestAStoreThatDoesNotAnswerLetsNobodyPass"},
	"session.too-many":         {"guard/session/session_test.go", "TestListsAndEndsTakeEffectOnTheNextRequest"},
	"session.anonymous-flood":  {"guard/session/session_test.go", "TestAClientMakesABoundedNumberOfSessions"},
	"session.ended":            {"guard/session/session_test.go", "TestListsAndEndsTakeEffectOnTheNextRequest"},
	"identity.stale":           {"guard/identity/page_test.go", "TestASessionIsEndedOnlySoonAfterThePassword"},
	"identity.first":           {"guard/identity/page_test.go", "TestTheFirstAdministratorComesByALinkOnce"},
	"access.fresh":             {"guard/access/access_test.go", "TestAStaleSignInIsLedToConfirmation"},
	"access.policy-error":      {"guard/access/policies_test.go", "TestAPolicyThatFailsRefuses"},
	"identity.account-changed": {"guard/identity/know_test.go", "TestASessionEndsOnTheNextRequestAfterWhatEndsIt"},
	"identity.administration":  {"guard/identity/admin_test.go", "TestTheAdministrationSaysWhatIsWrongAndChangesNothing"},
	"identity.required":        {"guard/identity/know_test.go", "TestHandlersAskForARoleAndForAFreshProof"},
	"identity.busy":            {"guard/identity/assert_test.go", "TestBodiesThatWaitTakeNoMoreThanTheirRoom"},
	"identity.broken-body":     {"guard/identity/assert_test.go", "TestAShorterBodyThanItsLengthIsRefused"},
	"identity.signed-in":       {"guard/identity/page_test.go", "TestSomebodySignsInAndOut"},
	"identity.guessing":        {"guard/identity/locks_test.go", "TestGuessingIsSlowedDownAndTold"},
	"identity.crowded":         {"guard/identity/locks_test.go", "TestASignInThatFindsTheQueueFullIsAskedToComeBack"},
	"identity.keys":            {"guard/identity/locks_test.go", "TestKeysThatCannotBeKeptAreToldAndGoOn"},
	"identity.provider":        {"e2e/oidc_liar_test.go", "TestAProviderThatLiesSignsNobodyIn"},
	"https.key-exposed":        {"guard/https/reload_test.go", "TestAKeyThatEverybodyCanReadIsTold"},
}

// TestRulesThatNoFileCanBreakAreBrokenInATest looks for the test that is said
// to break them.
func TestRulesThatNoFileCanBreakAreBrokenInATest(t *testing.T) {
	for rule, at := range elsewhere {
		src, err := os.ReadFile(at[0])
		if err != nil || !strings.Contains(string(src), "func "+at[1]+"(t *testing.T)") {
			t.Errorf("%s: %s has no %s (%v)", rule, at[0], at[1], err)
		}
	}
}

// TestARoomThatCannotDecideLetsNobodyPass puts a check inside the chain that
// fails without a refusal of its own: the hall fails closed.
func TestARoomThatCannotDecideLetsNobodyPass(t *testing.T) {
	chain, journal := newChain(t), &attack.Journal{}
	passed := false
	broken := guard.Check(func(r *http.Request) error {
		guard.From(r.Context()).Sink = journal.Record
		return errors.New("the store is gone: secret")
	})
	server := httptest.NewTLSServer(chain.Protect(broken(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }))))
	defer server.Close()
	res, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	events := journal.Events()
	if passed || res.StatusCode != http.StatusServiceUnavailable || len(events) != 1 || events[0].Verdict != guard.Failed {
		t.Errorf("got %s, passed %t, events %v, want a closed door that says so", res.Status, passed, events)
	}
	if res.Header.Get("Cache-Control") != "no-store" || !strings.Contains(string(body), "urn:hauberk:incident:") {
		t.Errorf("got %v %s, want the incident id, stored nowhere", res.Header, body)
	}
}

// TestEveryRuleHasAnAttackAndItsInnocentTwin reads the files as a reviewer does.
func TestEveryRuleHasAnAttackAndItsInnocentTwin(t *testing.T) {
	chain := newChain(t)
	attacks, err := chain.Attacks()
	if err != nil {
		t.Fatal(err)
	}
	attacked, twinned := map[string]bool{}, map[string]bool{}
	for i, c := range attacks {
		for _, rule := range c.Rules() {
			attacked[rule] = true
			twinned[rule] = twinned[rule] || twinBehind(attacks[i:], rule)
		}
	}
	known := map[string]bool{}
	for _, p := range chain.Principles() {
		for _, r := range p.Rules {
			known[r.ID] = true
			if elsewhere[r.ID][0] != "" {
				continue
			}
			if !attacked[r.ID] {
				t.Errorf("%s: no attack file names it", r.ID)
			} else if !twinned[r.ID] {
				t.Errorf("%s: no innocent twin behind its attack", r.ID)
			}
		}
	}
	for rule := range attacked {
		if !known[rule] {
			t.Errorf("an attack file names %s, which is no rule", rule)
		}
	}
}

// twinBehind says whether the first case behind an attack that is no further
// attack on the same rule is innocent.
func twinBehind(cases []attack.Case, rule string) bool {
	for _, next := range cases[1:] {
		if next.File != cases[0].File {
			return false
		}
		if !slices.Contains(next.Rules(), rule) {
			return !next.Refused()
		}
	}
	return false
}

// TestATwinStandsDirectlyBehindItsAttack shows that the check can fail.
func TestATwinStandsDirectlyBehindItsAttack(t *testing.T) {
	const one, other, innocent = "# One.\nGET /\n-> 403 a.one\n", "# Other.\nGET /\n-> 403 a.other\n", "# Fine.\nGET /\n-> 200\n"
	for src, want := range map[string]bool{
		one + innocent:         true,
		one + one + innocent:   true,
		one + other + innocent: false,
		one + other:            false,
		one:                    false,
	} {
		cases, err := attack.Parse("x", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		if got := twinBehind(cases, "a.one"); got != want {
			t.Errorf("got %t, want %t for\n%s", got, want, src)
		}
	}
}

// TestAttacksFailAndTwinsPassThroughBothDoors replays every file of every room
// over real sockets: around a handler, and through the gateway.
func TestAttacksFailAndTwinsPassThroughBothDoors(t *testing.T) {
	attacks, err := newChain(t).Attacks()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range attacks {
		t.Run(fmt.Sprintf("%s:%d", c.File, c.Line), func(t *testing.T) {
			t.Parallel()
			if err := hauberk.Rehearse(t.Context(), c); err != nil {
				t.Errorf("%s\n%v", c.Title, err)
			}
		})
	}
}

// TestDoorsThatAnswerDifferentlyAreTold shows that the comparison can fail.
func TestDoorsThatAnswerDifferentlyAreTold(t *testing.T) {
	ok, other := attack.Response{Status: 200}, attack.Response{Status: 404}
	for _, c := range []struct {
		name             string
		library, gateway []attack.Response
		want             string
	}{
		{"the same", []attack.Response{ok}, []attack.Response{ok}, ""},
		{"another status", []attack.Response{ok}, []attack.Response{other}, "answer 1: status differs: library 200, gateway 404"},
		{"an answer less", []attack.Response{ok, ok}, []attack.Response{ok}, "the number of answers differs: library 2, gateway 1"},
		{"an answer more", nil, []attack.Response{ok}, "the number of answers differs: library 0, gateway 1"},
	} {
		if got := fmt.Sprint(hauberk.Alike(c.library, c.gateway)); got != cmp.Or(c.want, "<nil>") {
			t.Errorf("%s: got %s, want %q", c.name, got, c.want)
		}
	}
}

// TestRehearseFailsWhereAnAttackPasses shows that the replay can fail.
func TestRehearseFailsWhereAnAttackPasses(t *testing.T) {
	for _, src := range []string{
		"# An attack that nobody stops.\nGET /\n-> 403 csrf.cross-origin\n",
		"# A configuration with a mistake.\n@config csrf: {trusted: []}\nGET /\n-> 200\n",
		"# A header that the app must not see.\nGET /\nX-Fine: 1\n\n-> 200\n=> !X-Fine\n",
	} {
		cases, err := attack.Parse("x", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		if err := hauberk.Rehearse(t.Context(), cases[0]); err == nil {
			t.Errorf("%s: got no error", cases[0].Title)
		}
	}
}
