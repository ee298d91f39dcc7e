package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hauberk.dev/guard/monitor"
	"hauberk.dev/store/sqlite"
)

// logFlags say which journal is read, and what of it.
type logFlags struct {
	state, config string
	since, until  string
	client        string
	query         monitor.Query
	rows          int
	follow        bool
	head          string
}

func logCommand() *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use: "log", Short: "read the journal of events, or prove that nobody changed it",
		Long: "Log reads the journal that serve writes, whether serve runs or not.\n\n" +
			"  hauberk log tail -f                    the newest events, and those to come\n" +
			"  hauberk log show --rule csrf --since 1h\n" +
			"  hauberk log impact                     what would have been refused but for exceptions\n" +
			"  hauberk log verify                     name what was changed since it was written\n" +
			"  hauberk log export > events.jsonl      JSON lines, with the sums that chain them",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usagef("log cannot %q%s", args[0], suggest(args[0], verbs(c)))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	tail := &cobra.Command{Use: "tail", Short: "print the newest events", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.tail(c) }}
	tail.Flags().IntVarP(&f.rows, "lines", "n", 20, "how many events")
	tail.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with those to come, until interrupted")
	show := &cobra.Command{Use: "show", Short: "print events; without a filter all of them", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.show(c) }}
	export := &cobra.Command{Use: "export", Short: "write events as JSON lines, with the sums that chain them", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.export(c) }}
	verify := &cobra.Command{Use: "verify", Short: "name what was changed, removed or moved, and the last acknowledged event", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.verify(c) }}
	verify.Flags().StringVar(&f.head, "head", "", "a line \"journal head\" of the log, or ROW:SUM from it: is that row still there, and the same?")
	for _, sub := range []*cobra.Command{tail, show, export, verify} {
		stateFlags(sub, &f.state, &f.config)
		if sub != verify {
			f.filters(sub)
		}
		c.AddCommand(sub)
	}
	c.AddCommand(impactCommand())
	return c
}

func (f *logFlags) filters(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.since, "since", "", "not before: 2026-11-23, 2026-11-23T10:00:00Z, or 90m ago, 7d ago")
	s.StringVar(&f.until, "until", "", "before, in the same forms")
	s.StringVar(&f.query.Rule, "rule", "", "a rule, or a room for all its rules")
	s.StringVar(&f.client, "client", "", "an address or a prefix, 192.0.2.0/24")
	s.StringVar(&f.query.User, "user", "", "a user")
	s.StringVar(&f.query.Route, "route", "", "a route's pattern, as the config has it")
	s.StringVar(&f.query.Incident, "incident", "", "the id on a refusal page")
}

// complete reads the filters.
func (f *logFlags) complete(now time.Time) error {
	for _, t := range []struct {
		name, text string
		to         *time.Time
	}{{"since", f.since, &f.query.Since}, {"until", f.until, &f.query.Until}} {
		if t.text == "" {
			continue
		}
		var ok bool
		if *t.to, ok = moment(t.text, now); !ok {
			return usagef("--%s %q is no time: want 2026-11-23, 2026-11-23T10:00:00Z, 90m or 7d", t.name, t.text)
		}
	}
	if f.query.Incident != "" {
		id, ok := incidentID(f.query.Incident)
		if !ok {
			return usagef("--incident %q is no incident id: want the 32 digits of a refusal page", f.query.Incident)
		}
		f.query.Incident = id
	}
	if f.client == "" {
		return nil
	}
	prefix, err := netip.ParsePrefix(f.client)
	if addr, addrErr := netip.ParseAddr(f.client); addrErr == nil {
		addr = addr.Unmap()
		prefix, err = addr.Prefix(addr.BitLen())
	}
	if err != nil {
		return usagef("--client %q is no address and no prefix", f.client)
	}
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96) // as clients stand in the journal
	}
	f.query.Client = prefix.Masked()
	return nil
}

// maxDays is how far back days are counted; more would not fit into a time.
const maxDays = 100_000

// moment reads a time, or how long ago it was.
func moment(text string, now time.Time) (time.Time, bool) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t, true
		}
	}
	text = strings.TrimSuffix(strings.TrimSpace(text), " ago")
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err != nil || n < 0 || fmt.Sprint(n) != days {
			return time.Time{}, false
		}
		return now.AddDate(0, 0, -n), n <= maxDays
	}
	d, err := time.ParseDuration(text)
	return now.Add(-d), err == nil && d >= 0
}

// open opens the journal of the state directory.
func (f *logFlags) open(c *cobra.Command) (dir string, db *sqlite.DB, err error) {
	if dir, err = namedState(c, f.state, f.config); err != nil {
		return "", nil, err
	}
	db, err = readStore(dir)
	return dir, db, err
}

func (f *logFlags) show(c *cobra.Command) error {
	v := voiceOf(c.OutOrStdout())
	return f.each(c, func(r monitor.Row) error { return printRow(v, r) })
}

// each calls do for the rows that the filters select.
func (f *logFlags) each(c *cobra.Command, do func(monitor.Row) error) error {
	if err := f.complete(time.Now()); err != nil {
		return err
	}
	_, db, err := f.open(c)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = monitor.Read(c.Context(), db, 0, f.query, do)
	return err
}

// printRow prints one event on one line.
func printRow(v voice, r monitor.Row) error {
	what := r.Rule + " " + r.Verdict
	if r.Folded > 0 {
		what += fmt.Sprintf(" ×%d", r.Folded)
	}
	paint := v.green(what)
	switch r.Verdict {
	case "denied", "found", "excused":
		paint = v.yellow(what)
	case "failed":
		paint = v.red(what)
	}
	line, args := "%s %s", []any{r.Time.Local().Format("2006-01-02 15:04:05.000"), paint}
	for _, part := range []string{r.Client, r.User, strings.TrimSpace(r.Attrs["method"] + " " + r.Attrs["path"]), r.Detail, r.Request} {
		if part != "" {
			line += "  %s"
			args = append(args, part)
		}
	}
	v.line(line, args...)
	return nil
}

// exported is a line of an export.
type exported struct {
	Row  uint64 `json:"row"`
	Prev string `json:"prev"`
	Sum  string `json:"sum"`
	monitor.Entry
}

func (f *logFlags) export(c *cobra.Command) error {
	out := json.NewEncoder(c.OutOrStdout())
	return f.each(c, func(r monitor.Row) error {
		return out.Encode(exported{r.Seq, fmt.Sprintf("%x", r.Prev[:]), fmt.Sprintf("%x", r.Sum[:]), r.Entry})
	})
}

func (f *logFlags) tail(c *cobra.Command) error {
	if err := f.complete(time.Now()); err != nil {
		return err
	}
	_, db, err := f.open(c)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	rows, next, err := newest(ctx, db, f.query, f.rows)
	if err != nil {
		return err
	}
	v := voiceOf(c.OutOrStdout())
	for _, r := range rows {
		if err := printRow(v, r); err != nil {
			return err
		}
	}
	for f.follow && err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
			next, err = monitor.Read(ctx, db, next, f.query, func(r monitor.Row) error { return printRow(v, r) })
		}
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// newest returns the last n events that q selects, and the number of the row
// behind them.
func newest(ctx context.Context, db *sqlite.DB, q monitor.Query, n int) ([]monitor.Row, uint64, error) {
	h, err := db.Head(ctx)
	if err != nil {
		return nil, 0, err
	}
	// From the end back, in steps that double until there are enough.
	for step := uint64(max(n, 1)) * 2; ; step *= 4 {
		from := uint64(1)
		if h.Last > step {
			from = h.Last - step
		}
		var rows []monitor.Row
		next, err := monitor.Read(ctx, db, from, q, func(r monitor.Row) error {
			if rows = append(rows, r); len(rows) > max(n, 0) {
				rows = rows[1:]
			}
			return nil
		})
		if err != nil || len(rows) >= n || from <= max(h.First, 1) {
			return rows, next, err
		}
	}
}

func (f *logFlags) verify(c *cobra.Command) error {
	var head monitor.Head
	if f.head != "" {
		var err error
		if head, err = monitor.ReadHead(f.head); err != nil {
			return usage{fmt.Errorf("--head: %w", err)}
		}
	}
	dir, db, err := f.open(c)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := monitor.Verify(c.Context(), dir, db)
	if err != nil {
		return err
	}
	v := voiceOf(c.OutOrStdout())
	if r.LastEvent != nil {
		_, err := monitor.Read(c.Context(), db, r.LastEvent.Seq, monitor.Query{}, func(row monitor.Row) error {
			v.line("last acknowledged event: row %d, %s, %s %s %s", row.Seq, row.Time.UTC().Format(time.RFC3339Nano), row.Rule, row.Verdict, row.Request)
			return errStop
		})
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
	} else {
		v.line("no event was acknowledged yet")
	}
	var errs []error
	for _, fault := range r.Faults {
		errs = append(errs, errors.New(fault.String()))
	}
	if f.head != "" {
		if err := head.Stands(c.Context(), db, r.First); err != nil {
			errs = append(errs, err)
		} else {
			v.line("row %d is the one of the head that you kept", head.Row)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("the journal in %s is not as it was written:\n%w", dir, errors.Join(errs...))
	}
	if r.Rows > 0 {
		v.line("%s rows %d to %d, %d signed heads; the end was signed at %s", v.green("good:"), r.First, r.Last, r.Heads, r.Signed.Format(time.RFC3339))
	}
	return nil
}

// errStop ends a walk through the journal.
var errStop = errors.New("enough")
