package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "embed"

	"hauberk.dev/guard/identity"
)

//go:embed book.html
var layout string

//go:embed style.css
var style string

var pages = template.Must(template.New("book").Parse(layout))

// entry is one line of the guest book.
type entry struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
	By   string `json:"-"` // the ID of the user, "" for a guest
}

// book is the guest book, in memory.
type book struct {
	mu      sync.Mutex
	entries []entry
	last    int
	started time.Time
}

func newBook() *book {
	b := &book{started: time.Now()}
	b.add("", "Ada", "The lamp on the stairs is a kindness.")
	b.add("", "Grace", "Found a moth. <Kept it.>")
	return b
}

func (b *book) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", b.front)
	mux.HandleFunc("POST /sign", b.sign)
	mux.HandleFunc("GET /style.css", b.asset)
	mux.HandleFunc("GET /api/entries", b.list)
	mux.HandleFunc("POST /api/entries", b.create)
	mux.Handle("DELETE /api/entries/{id}", identity.RequireRole("editor", http.HandlerFunc(b.remove)))
	mux.Handle("GET /mine", identity.RequireUser(http.HandlerFunc(b.mine)))
	mux.HandleFunc("GET /desk", b.desk)
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("POST /checksum", checksum)
	mux.HandleFunc("GET /events", events)
	mux.HandleFunc("GET /hinted", hinted)
	mux.HandleFunc("GET /go", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /crash", func(http.ResponseWriter, *http.Request) {
		panic("the guest book dropped page 42")
	})
	return mux
}

// view is what a page shows: the entries that hold Words, who was here last,
// and who is signed in.
type view struct {
	Title   string
	Entries []entry
	Words   string
	Visitor string
	User    string
}

func (b *book) front(w http.ResponseWriter, r *http.Request) {
	v := view{Title: "Guest book", Words: r.URL.Query().Get("q")}
	if c, err := r.Cookie("visitor"); err == nil {
		v.Visitor = c.Value
	}
	for _, e := range b.all() {
		if strings.Contains(strings.ToLower(e.Name+"\n"+e.Text), strings.ToLower(v.Words)) {
			v.Entries = append(v.Entries, e)
		}
	}
	show(w, r, v)
}

// show writes the page, with the name of whoever the gate says has signed in.
func show(w http.ResponseWriter, r *http.Request, v view) {
	if user, ok := identity.User(r); ok {
		v.User = user.Name
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pages.Execute(w, v); err != nil {
		panic(http.ErrAbortHandler) // The client is gone, or half a page is out.
	}
}

// mine lists what the user has written. RequireUser stands before it, so there
// is one.
func (b *book) mine(w http.ResponseWriter, r *http.Request) {
	user, _ := identity.User(r)
	v := view{Title: "Written by you"}
	for _, e := range b.all() {
		if e.By == user.ID {
			v.Entries = append(v.Entries, e)
		}
	}
	show(w, r, v)
}

// desk is for editors alone: the access rules in serve.go say so, and it asks
// nothing itself.
func (b *book) desk(w http.ResponseWriter, r *http.Request) {
	show(w, r, view{Title: "The editors' desk", Entries: b.all()})
}

func (b *book) sign(w http.ResponseWriter, r *http.Request) {
	name, text, by := r.PostFormValue("name"), r.PostFormValue("text"), ""
	if user, ok := identity.User(r); ok {
		name, by = user.Name, user.ID // nobody signs for another
	}
	if name == "" || text == "" {
		http.Error(w, "a name and a text, please", http.StatusUnprocessableEntity)
		return
	}
	b.add(by, name, text)
	http.SetCookie(w, &http.Cookie{Name: "visitor", Value: hex.EncodeToString([]byte(name)), Path: "/", MaxAge: 86400})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// asset answers with ranges and a validator, as ServeContent does.
func (b *book) asset(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", fmt.Sprintf("%q", digest(style)[:16]))
	http.ServeContent(w, r, "style.css", b.started, strings.NewReader(style))
}

func (b *book) list(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, b.all()) }

func (b *book) create(w http.ResponseWriter, r *http.Request) {
	var e entry
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	if err := in.Decode(&e); err != nil || e.Name == "" || e.Text == "" {
		answer(w, http.StatusBadRequest, map[string]string{"error": "send a name and a text"})
		return
	}
	e = b.add("", e.Name, e.Text)
	w.Header().Set("Location", "/api/entries/"+strconv.Itoa(e.ID))
	answer(w, http.StatusCreated, e)
}

func (b *book) remove(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || !b.delete(id) {
		answer(w, http.StatusNotFound, map[string]string{"error": "no such entry"})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (b *book) all() []entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]entry{}, b.entries...)
}

func (b *book) add(by, name, text string) entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	e := entry{ID: b.last, Name: name, Text: text, By: by}
	b.entries = append(b.entries, e)
	return e
}

func (b *book) delete(id int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, e := range b.entries {
		if e.ID == id {
			b.entries = append(b.entries[:i], b.entries[i+1:]...)
			return true
		}
	}
	return false
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler) // The client is gone.
	}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// echo answers while it still reads.
func echo(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	// HTTP/1 alone needs to be asked; HTTP/2 always runs both ways.
	if err := c.EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
		http.Error(w, "both ways at once is not possible here", http.StatusNotImplemented)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := c.Flush(); err != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil || c.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// checksum tells the digest of what it read in a trailer.
func checksum(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-Checksum")
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, "the body broke off", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "read %d\n", n)
	w.Header().Set("X-Checksum", hex.EncodeToString(sum.Sum(nil)))
}

// events ticks until the client goes.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	c := http.NewResponseController(w)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		if _, err := fmt.Fprintf(w, "id: %d\nevent: tick\ndata: {\"n\":%d}\n\n", n, n); err != nil || c.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// hinted tells the browser of the style sheet before the page is ready.
func hinted(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", "</style.css>; rel=preload; as=style")
	w.WriteHeader(http.StatusEarlyHints)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!doctype html><title>Hinted</title><link rel=stylesheet href=/style.css><h1>Hinted</h1>")
}
