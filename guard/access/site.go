package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"hauberk.dev/guard/access/policy"
)

// The bounds of a folder of policies.
const (
	maxFile  = 1 << 20
	maxFiles = 1000
)

// site is what was decided about one.
type site struct {
	name        string
	app         bool
	rules       []Rule
	patterns    []pattern
	policies    *policy.Set
	world       *policy.World
	requestable []string
	nodes       sync.Map // by node key; as many as pairs of a pattern and the rule that governs it
}

// newSite finds every mistake. The site that comes with an error lets nobody in.
func newSite(name string, c Config, patterns []string) (*site, error) {
	s := &site{name: name, app: c.By == "app", rules: c.Rules, requestable: c.Requestable}
	nobody := &site{name: name, policies: &policy.Set{}, world: policy.NewWorld(name)}
	if s.app {
		if len(c.Rules)+len(c.Requestable) > 0 || c.Policies != "" {
			return nobody, errors.New("access.by: where the app decides no rule is asked: leave out rules, policies and requestable, or this")
		}
		return s, nil
	}
	var errs []error
	if c.By != "" {
		errs = append(errs, fmt.Errorf("access.by: %q is not known: want \"app\", or rules", c.By))
	}
	for i, role := range c.Requestable {
		if _, err := parseWord("role:" + role); err != nil {
			errs = append(errs, fmt.Errorf("access.requestable[%d]: %q is not the name of a role", i, role))
		}
	}
	var all []*policy.Policy
	for i, rule := range c.Rules {
		compiled, err := rule.compile(i)
		all, errs = append(all, compiled...), append(errs, err)
	}
	s.see(patterns)
	written, err := load(c.Policies)
	errs = append(errs, err, s.hold(written))
	s.policies, err = policy.NewSet(append(all, written...))
	if err := errors.Join(append(errs, policies(err))...); err != nil {
		return nobody, err
	}
	return s, nil
}

// see makes entities of the patterns of routes and rules.
func (s *site) see(patterns []string) {
	texts := slices.Clone(patterns)
	for _, rule := range s.rules {
		texts = append(texts, rule.On)
	}
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		s.patterns = append(s.patterns, readPattern(text))
	}
	s.world = policy.NewWorld(s.name)
	for _, p := range s.patterns {
		var wider []string
		for _, other := range s.patterns {
			if other.text != p.text && other.holds(p) && !(p.holds(other) && other.text > p.text) {
				wider = append(wider, other.text)
			}
		}
		s.world.Route(p.text, wider)
	}
	s.world.Route("", nil)
}

// hold checks policies of files against the schema of the site, and that the
// routes they name exist: a forbid for a route that is misspelt would never
// forbid anything.
func (s *site) hold(written []*policy.Policy) error {
	var names, methods []string
	for _, p := range s.patterns {
		names = append(names, wildcards(p.text)...)
		if p.method != "" && p.method != "HEAD" {
			methods = append(methods, p.method)
		}
	}
	var errs []error
	for _, p := range written {
		for _, unknown := range p.Names(func(kind, id string) bool { return s.knows(kind, id) }) {
			errs = append(errs, fmt.Errorf("%s: %s is not there", p.At, unknown))
		}
	}
	return policies(errors.Join(policy.Validate(policy.Schema(names, methods), written), errors.Join(errs...)))
}

// knows says whether an entity that a policy names can be met.
func (s *site) knows(kind, id string) bool {
	switch kind {
	case "Route":
		return id == "" || slices.ContainsFunc(s.patterns, func(p pattern) bool { return p.text == id })
	case "Site":
		return id == s.name
	case "Rule":
		n, err := strconv.Atoi(id)
		return err == nil && n >= 0 && n < len(s.rules) && strconv.Itoa(n) == id
	}
	return true
}

// policies gives each mistake the key that it is about.
func policies(err error) error {
	if err == nil {
		return nil
	}
	var all []error
	for line := range strings.SplitSeq(err.Error(), "\n") {
		all = append(all, errors.New("access.policies: "+line))
	}
	return errors.Join(all...)
}

// load reads the policies of a folder.
func load(folder string) ([]*policy.Policy, error) {
	if folder == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, policies(err)
	}
	defer root.Close()
	files, err := fs.Glob(root.FS(), "*.cedar")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no *.cedar", folder)
	}
	if err == nil && len(files) > maxFiles {
		err = fmt.Errorf("%s holds more than %d files", folder, maxFiles)
	}
	if err != nil {
		return nil, policies(err)
	}
	var all []*policy.Policy
	var errs []error
	for _, file := range files {
		read, err := loadFile(root, filepath.Join(filepath.Base(folder), file), file)
		all, errs = append(all, read...), append(errs, policies(err))
	}
	return all, errors.Join(errs...)
}

func loadFile(root *os.Root, said, file string) ([]*policy.Policy, error) {
	info, err := root.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", said, maxFile)
	}
	src, err := root.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return policy.Parse(said, src)
}
