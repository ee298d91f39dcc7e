package demo

import (
	"errors"

	"hauberk.dev/internal/attack"
)

// Judge says what Run makes of a row with these measurements.
func Judge(promised string, bareWorks, guardedWorks, answered bool) error {
	r := row{promise: promise(promised), c: attack.Case{Title: "a case"}}
	r.bare = outcome{got: bareWorks, why: errors.New("bare")}
	r.guarded = outcome{got: guardedWorks, why: errors.New("guarded")}
	if answered {
		r.guarded.last.Status = 403
	}
	return r.kept()
}

// JudgeLenient says what Run makes of a row behind headers: compat.
func JudgeLenient(promised string, got, answered bool) error {
	r := row{promise: promise(promised), c: attack.Case{Title: "a case"}}
	r.lenient = outcome{got: got, why: errors.New("lenient")}
	if answered {
		r.lenient.last.Status = 403
	}
	return r.keptLenient()
}
