package attack

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Load reads all attack files in the folder attacks of a room. The files are
// called by their path from prefix, so that a mistake can be found.
func Load(files fs.FS, prefix string) ([]Case, error) {
	names, err := fs.Glob(files, "attacks/*.attack")
	if err != nil {
		return nil, err
	}
	var all []Case
	var errs []error
	for _, name := range names {
		src, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read attacks of %s: %w", prefix, err)
		}
		cases, err := Parse(path.Join(prefix, name), src)
		all = append(all, cases...)
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}
