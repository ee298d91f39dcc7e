package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"hauberk.dev/guard/monitor/chain"
	"hauberk.dev/store"
)

// Head is the head of a journal as somebody kept it elsewhere.
type Head struct {
	Row uint64
	Sum chain.Sum
}

// ReadHead reads a line "journal head" of the log, or ROW:SUM from it.
func ReadHead(text string) (Head, error) {
	var h Head
	row, sum, short := strings.Cut(text, ":")
	var err error
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		err = json.Unmarshal([]byte(text), &h)
	} else if h.Row, err = strconv.ParseUint(row, 10, 64); err == nil && short {
		err = h.Sum.UnmarshalText([]byte(sum))
	}
	if err != nil || h.Row == 0 || h.Sum == (chain.Sum{}) {
		return h, fmt.Errorf("%q is no head: want a line \"journal head\" of the log, or ROW:SUM", text)
	}
	return h, nil
}

// Stands says whether the row is in the journal and the same as when the head
// was logged. Since each row holds the sum of the one before, all before it are
// then the ones of that time.
func (h Head) Stands(ctx context.Context, j store.Journal, first uint64) error {
	rows, err := j.Read(ctx, h.Row, 1)
	if err != nil {
		return err
	}
	switch {
	case h.Row < first:
		return fmt.Errorf("row %d, of the head that you kept, was pruned: take a newer head", h.Row)
	case len(rows) == 0 || rows[0].Seq != h.Row:
		return fmt.Errorf("row %d, of the head that you kept, is not there: the journal was put back to an earlier time, or replaced", h.Row)
	}
	if _, own := chain.Links(rows[0]); own != h.Sum {
		return fmt.Errorf("row %d is not the one of the head that you kept: the journal was replaced", h.Row)
	}
	return nil
}
