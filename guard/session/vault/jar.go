package vault

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// The bounds of one jar, and so of one session.
const (
	// MaxCookies is how many cookies a jar holds.
	MaxCookies = 32
	// MaxJar is how long their names, values and paths are together.
	MaxJar = 16 << 10
	// MaxHeader is how long the Cookie header is that goes up.
	MaxHeader = 8 << 10
)

// Cookie is one that the vault keeps. Host, Name and Path are its key.
type Cookie struct {
	Host, Name, Path string
	Value            string
	Secure           bool
	SameSite         string
	Created          time.Time
	Expires          time.Time // zero: as long as the session
}

func (c *Cookie) size() int { return len(c.Host) + len(c.Name) + len(c.Path) + len(c.Value) }

func (c *Cookie) is(o *Cookie) bool {
	return c.Name == o.Name && c.Path == o.Path && c.Host == o.Host
}

// live says whether it counts still.
func (c *Cookie) live(now time.Time) bool { return c.Expires.IsZero() || c.Expires.After(now) }

// Jar is what a session keeps of an app's cookies, oldest first.
type Jar []Cookie

// find returns the place of the cookie with the key of c, -1 for none.
func (j Jar) find(c *Cookie) int {
	return slices.IndexFunc(j, func(o Cookie) bool { return o.is(c) })
}

// Holds says whether a live cookie of a name is in the jar.
func (j Jar) Holds(host, name string, now time.Time) bool {
	return slices.ContainsFunc(j, func(c Cookie) bool { return c.Name == name && c.Host == host && c.live(now) })
}

// Change is what one Set-Cookie field does to a jar.
type Change struct {
	Cookie
	// Gone says that the cookie is deleted; Named, that all cookies of its host
	// and name are, since the name went to the browser.
	Gone, Named bool
	// Weak says that the request was one that asks for nothing to change, a GET.
	Weak bool
}

// Effect says what changes did to a jar, the strongest last.
type Effect int

// The effects. Renewed is worth a write; Changed means that what the app knows
// the browser by is new or another: an app signs people in so.
const (
	Nothing Effect = iota
	Renewed
	Changed
)

// Apply returns the jar after changes, what they did, and the names of the
// cookies that did not fit. A new cookie never pushes out one that stands:
// else whoever makes the app set many would end the session of somebody else.
//
// seen is the jar that the request went up with. Where another request has
// changed a cookie since, a weak change made without knowing of it is late and
// does not count: a poll that was under way would bring back what a sign-in has
// replaced. A deletion always counts: no sign-out is lost.
func (j Jar) Apply(seen Jar, changes []Change, now time.Time) (Jar, Effect, []string) {
	out := slices.DeleteFunc(slices.Clone(j), func(c Cookie) bool { return !c.live(now) })
	effect := Nothing
	var refused []string
	for i := range changes {
		ch := &changes[i]
		switch {
		case ch.Gone || ch.Named:
			n := len(out)
			out = slices.DeleteFunc(out, func(c Cookie) bool {
				return c.is(&ch.Cookie) || ch.Named && c.Name == ch.Name && c.Host == ch.Host
			})
			if len(out) < n {
				effect = max(effect, Renewed)
			}
		case ch.Weak && late(j, seen, &ch.Cookie):
		default:
			did, fits := out.set(&ch.Cookie, now)
			if !fits {
				refused = append(refused, ch.Name)
			}
			effect = max(effect, did)
		}
	}
	return out, effect, refused
}

// late says that the cookie stands with another value than the request knew.
func late(j, seen Jar, c *Cookie) bool {
	at, then := j.find(c), seen.find(c)
	switch {
	case at < 0:
		return false
	case then < 0:
		return true
	}
	return j[at].Value != seen[then].Value
}

// set puts one cookie in.
func (j *Jar) set(c *Cookie, now time.Time) (Effect, bool) {
	i := j.find(c)
	room := MaxJar
	for k := range *j {
		if k != i {
			room -= (*j)[k].size()
		}
	}
	if len(c.Name)+len(c.Value) > MaxCookie || c.size() > room || i < 0 && len(*j) >= MaxCookies {
		return Nothing, false
	}
	if i < 0 {
		c.Created = now
		*j = append(*j, *c)
		return Changed, true
	}
	old := (*j)[i]
	c.Created = old.Created
	switch {
	case old.Value != c.Value:
		(*j)[i] = *c
		return Changed, true
	case old.Secure != c.Secure || old.SameSite != c.SameSite || moved(old.Expires, c.Expires, now):
		(*j)[i] = *c
		return Renewed, true
	}
	return Nothing, true
}

// moved says whether another end is worth a write. One that rolls on with
// every answer is, after an eighth of its life or five minutes.
func moved(old, end, now time.Time) bool {
	if old.IsZero() || end.IsZero() || end.Before(old) {
		return !old.Equal(end)
	}
	return end.Sub(old) > min(end.Sub(now)/8, 5*time.Minute)
}

// Ask is a request for which cookies are chosen.
type Ask struct {
	Host, Path string
	// Secure says that it came over TLS, or from a loopback client.
	Secure bool
	// Foreign says that a page of another site sent it here.
	Foreign bool
	Now     time.Time
}

// For returns the cookies that a browser would send (RFC 6265, 5.4): longer
// paths first, then those that were set earlier.
func (j Jar) For(a Ask) Jar {
	var out Jar
	for i := range j {
		c := &j[i]
		if c.Host != a.Host || !c.live(a.Now) || c.Secure && !a.Secure || c.SameSite == "strict" && a.Foreign || !Match(a.Path, c.Path) {
			continue
		}
		if out == nil {
			out = make(Jar, 0, len(j)-i)
		}
		out = append(out, *c)
	}
	if len(out) < 2 {
		return out
	}
	slices.SortStableFunc(out, func(x, y Cookie) int {
		return cmp.Or(cmp.Compare(len(y.Path), len(x.Path)), x.Created.Compare(y.Created))
	})
	return out
}

// Match says whether a request for path gets a cookie of a path (RFC 6265,
// 5.1.4).
func Match(path, cookie string) bool {
	rest, ok := strings.CutPrefix(path, cookie)
	return ok && (rest == "" || strings.HasSuffix(cookie, "/") || rest[0] == '/')
}

// Default is the path of a cookie that names none (RFC 6265, 5.1.4): the
// folder of what was asked for.
func Default(path string) string {
	if !strings.HasPrefix(path, "/") {
		return "/"
	}
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}
