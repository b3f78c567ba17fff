package fleet

import (
	"context"
	"fmt"
	"regexp"

	"latchkey"
)

// suspect records the impossible, and quarantines the machine.
func (j *judge) suspect(what string, detail ...string) { j.suspectOf(nil, what, detail...) }

// suspectOf is suspect where it is about a user.
func (j *judge) suspectOf(m *Member, what string, detail ...string) {
	j.incidentOf(m, what, detail...)
	if j.merger.Suspect == "" {
		j.merger.Suspect = what
	}
}

func (j *judge) actor() string { return "machine:" + j.ledger.Machine.Name }

func (j *judge) incident(what string, detail ...string) { j.incidentOf(nil, what, detail...) }

// incidentOf is incident where it is about a user. detail are names and values.
func (j *judge) incidentOf(m *Member, what string, detail ...string) {
	if j.take(j.incidents, m) {
		j.merger.Incident = append(j.merger.Incident, j.found(m, what, detail))
	}
}

// once is incidentOf for what the machine says at each contact: a second line
// would tell nothing new. thing names it.
func (j *judge) once(m *Member, thing, what string, detail ...string) error {
	known, err := j.toldOf(thing)
	if err != nil || known || !j.take(j.incidents, m) {
		return err
	}
	j.merger.Once = append(j.merger.Once, Once{thing, j.found(m, what, detail)})
	return nil
}

func (j *judge) found(m *Member, what string, detail []string) latchkey.Event {
	e := latchkey.Event{
		Time: j.now, Kind: latchkey.Incident, Actor: j.actor(),
		Machine: j.ledger.Machine.ID, Host: j.ledger.Machine.Name,
		Detail: map[string]string{"incident": what},
	}
	for i := 0; i+1 < len(detail); i += 2 {
		e.Detail[detail[i]] = detail[i+1]
	}
	if m != nil {
		e.User, e.UserName = m.User.ID, m.User.Name
	}
	return e
}

// take reports whether one more line of the machine, about one of its users or
// about itself, belongs into the trail.
func (j *judge) take(p *latchkey.Pace, about *Member) bool {
	var source latchkey.Source
	if about != nil {
		source.User = about.User.ID
	}
	write, told := p.Take(j.ledger.Machine.ID, source, j.now)
	if told != nil {
		told.Host = j.ledger.Machine.Name
		if told.User != "" {
			told.UserName = about.User.Name
		}
		j.merger.Incident = append(j.merger.Incident, *told)
	}
	return write
}

// stranger records that the machine holds a user whom it was told nothing of.
// After a restore from a backup this is no lie, and it changes nothing.
func (j *judge) stranger(ctx context.Context, s Store, id latchkey.UserID) error {
	thing := "user " + named(string(id))
	err := j.once(nil, thing, "the machine holds a user whom it was told nothing of", "user", named(string(id)))
	if n := len(j.merger.Once); err == nil && n > 0 && j.merger.Once[n-1].Thing == thing {
		u, failed := s.UserNamed(ctx, string(id))
		if failed == nil && u.ID == id {
			e := &j.merger.Once[n-1].Event
			e.User, e.UserName = u.ID, u.Name
		}
	}
	return err
}

var plainID = regexp.MustCompile(`^[a-z]{3}_[0-9a-z]{1,60}$`)

// named is an id as a machine gives it: as it is where it can be one, else in
// quotes, cut short, with nothing in it that could be taken for something else.
func named(id string) string {
	if plainID.MatchString(id) {
		return id
	}
	return fmt.Sprintf("%.64q", id)
}
