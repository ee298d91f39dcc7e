package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard/monitor/chain"
	"hauberk.dev/store"
)

// Query selects entries of the journal. What is left out selects all.
type Query struct {
	Since, Until time.Time
	Rule         string // its id, or a room for all its rules
	Client       netip.Prefix
	User, Route  string
	Incident     string
}

// Row is an entry with its place in the journal.
type Row struct {
	Seq       uint64
	Prev, Sum chain.Sum
	Entry
}

// Read calls each for the entries that q selects, from a row on, and returns
// the number of the row behind the last one that it has seen.
func Read(ctx context.Context, j store.Journal, from uint64, q Query, each func(Row) error) (uint64, error) {
	for {
		rows, err := j.Read(ctx, from, 500)
		if err != nil || len(rows) == 0 {
			return from, err
		}
		for _, e := range rows {
			from = e.Seq + 1
			r, ok := entryIn(e, q)
			if !ok {
				continue
			}
			if err := each(r); err != nil {
				return from, err
			}
		}
	}
}

// entryIn reads an entry that q selects. Most that it does not are told by
// their bytes.
func entryIn(e store.Entry, q Query) (Row, bool) {
	if q.Incident != "" && !bytes.Contains(e.Data, []byte(q.Incident)) || q.Rule != "" && !bytes.Contains(e.Data, []byte(q.Rule)) {
		return Row{}, false
	}
	row, err := chain.ReadRow(e)
	if err != nil || row.Event == nil {
		return Row{}, false
	}
	r := Row{Seq: e.Seq}
	r.Prev, r.Sum = chain.Links(e)
	if json.Unmarshal(row.Event, &r.Entry) != nil {
		return Row{}, false
	}
	return r, q.selects(r.Entry)
}

func (q Query) selects(e Entry) bool {
	client, _ := netip.ParseAddr(e.Client)
	return (q.Since.IsZero() || !e.Time.Before(q.Since)) &&
		(q.Until.IsZero() || e.Time.Before(q.Until)) &&
		(q.Rule == "" || e.Rule == q.Rule || strings.HasPrefix(e.Rule, q.Rule+".")) &&
		(!q.Client.IsValid() || q.Client.Contains(client)) &&
		(q.User == "" || e.User == q.User) &&
		(q.Route == "" || e.Route == q.Route) &&
		(q.Incident == "" || e.Request == q.Incident || slices.Contains(e.Requests, q.Incident))
}

// Verify reads the whole journal and names what is wrong with it. dir is the
// state folder, where the public keys are.
func Verify(ctx context.Context, dir string, j store.Journal) (chain.Report, error) {
	keys, err := chain.ReadKeys(dir)
	if err != nil {
		return chain.Report{}, err
	}
	return chain.Verify(ctx, j, keys)
}
