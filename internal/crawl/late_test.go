package crawl_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"

	"hauberk.dev/internal/crawl"
)

const lateBrowser = "HAUBERK_TEST_LATE_BROWSER"

func TestMain(m *testing.M) {
	if os.Getenv(lateBrowser) != "" {
		beLate()
		return
	}
	os.Exit(m.Run())
}

// beLate speaks as much of the DevTools protocol as a walk asks for. Asked what
// became of the page, it listens no more, as one that crashes, and tells of many
// loads before it ends. A real browser does so too seldom to be waited for.
func beLate() {
	pipe := os.NewFile(3, "in")
	in, out := bufio.NewReader(pipe), bufio.NewWriter(os.NewFile(4, "out"))
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\x00", args...) }
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
		}
		json.Unmarshal(text[:len(text)-1], &m)
		result := "{}"
		switch m.Method {
		case "Target.createTarget":
			result = `{"targetId":"t"}`
		case "Target.attachToTarget":
			result = `{"sessionId":"s"}`
		case "Runtime.evaluate":
			pipe.Close()
			result = `{"result":{"value":"{\"scripts\":[],\"links\":[]}"}}`
		}
		say(`{"id":%d,"result":%s}`, m.ID, result)
		switch m.Method {
		case "Page.navigate":
			say(`{"method":"Network.requestWillBeSent","sessionId":"s","params":{"type":"Image","request":{"url":"https://early.example/"}}}`)
			say(`{"method":"Page.loadEventFired","sessionId":"s"}`)
		case "Runtime.evaluate":
			for i := range 2000 {
				say(`{"method":"Network.requestWillBeSent","sessionId":"s","params":{"type":"Script","request":{"url":"https://late.example/%d"}}}`, i)
			}
		}
		out.Flush()
	}
}

// TestWhatIsLoadedLateIsNoRace has its fault seen by the race detector alone.
func TestWhatIsLoadedLateIsNoRace(t *testing.T) {
	t.Setenv(lateBrowser, "1")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<title>x</title>")
	}))
	defer s.Close()
	at, err := crawl.Address(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var walks sync.WaitGroup
	for range 8 {
		walks.Go(func() {
			got, err := crawl.Walk(t.Context(), at, crawl.Options{Browser: os.Args[0]})
			if err != nil {
				t.Error(err)
				return
			}
			if len(got.Pages) != 1 || len(got.Notes) != 0 || !slices.Contains(got.Sources["img-src"], "https://early.example") {
				t.Errorf("got %+v, want a page and what it loaded in time", got)
			}
		})
	}
	walks.Wait()
}
