package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// secret is the password of the test's account of a name.
func secret(name string) string { return "a long password of " + name }

// cli runs a verb of the built binary on the state of a gate.
func (g *gate) cli(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), append(args, "--state", g.state)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("hauberk %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// account makes an account with the test's password.
func (g *gate) account(t testing.TB, name string, roles ...string) {
	t.Helper()
	args := []string{"users", "add", name, "--password-stdin"}
	for _, r := range roles {
		args = append(args, "--role", r)
	}
	g.cli(t, secret(name)+"\n", args...)
}

// person is somebody with a browser's cookies and headers, without a browser.
type person struct {
	*http.Client
	g *gate
}

func (g *gate) person(t testing.TB, protocol int) *person {
	t.Helper()
	c := g.client(protocol)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Jar = jar
	return &person{c, g}
}

// visit opens a page as a browser does; post sends a form of the site itself.
func (p *person) visit(path string) (answer, error) { return p.send(http.MethodGet, path, nil) }

func (p *person) post(path string, form url.Values) (answer, error) {
	return p.send(http.MethodPost, path, form)
}

func (p *person) send(method, path string, form url.Values) (answer, error) {
	r, err := http.NewRequest(method, p.g.url(path), strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", strings.TrimSuffix(p.g.url("/"), "/"))
	}
	return read(p.Do(r))
}

// signIn signs in and returns where the person is sent.
func (p *person) signIn(name, password, to string) (string, error) {
	a, err := p.post("/.hauberk/sign-in", url.Values{"name": {name}, "password": {password}, "to": {to}})
	if err != nil {
		return "", err
	}
	if a.StatusCode != http.StatusSeeOther {
		return "", fmt.Errorf("sign-in: got %s", a.Status)
	}
	return a.Header.Get("Location"), nil
}
