package store

import (
	"testing"

	"latchkey"
)

const (
	composed   = "Ren\u00e9"
	decomposed = "Rene\u0301"
)

// Whoever makes a second person of an administrator's name, by composing it in
// another way, could have the help desk give him that one's authenticators.
func TestANameComposedInAnotherWayIsTheSameOne(t *testing.T) {
	t.Parallel()
	db := open(t)
	e := latchkey.Event{Kind: latchkey.UserAdded}
	must(t, db.CreateAdmin(t.Context(), composed, latchkey.Administrator, []byte("hash"), e))
	u, err := db.AddUser(t.Context(), latchkey.User{Name: decomposed, Directory: latchkey.Builtin}, e)
	must(t, err)
	for _, name := range []string{composed, decomposed, string(u.ID)} {
		if is, err := db.IsAdmins(t.Context(), name); err != nil || !is {
			t.Errorf("%+q is no administrator's: %v", name, err)
		}
	}
	if _, err := db.AddUser(t.Context(), latchkey.User{Name: composed, Directory: latchkey.Builtin}, e); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("a second person of the name: %v", err)
	}
}

// Names that an earlier version folded are found again; of two that have become
// one, both stay.
func TestNamesOfAnEarlierVersionAreFoldedAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	db := p.open(t)
	e := latchkey.Event{Kind: latchkey.UserAdded}
	for _, name := range []string{"Zoe\u0308", decomposed, "ana"} {
		_, err := db.AddUser(t.Context(), latchkey.User{Name: name, Directory: latchkey.Builtin}, e)
		must(t, err)
	}
	p.run(t, "UPDATE users SET fold = 'rene\u0301' WHERE name LIKE 'Re%'")
	p.run(t, "UPDATE users SET fold = 'zoe\u0308' WHERE name LIKE 'Zo%'")
	second, err := db.AddUser(t.Context(), latchkey.User{Name: composed, Directory: latchkey.Builtin}, e)
	must(t, err) // as the earlier version took it
	p.run(t, "DELETE FROM meta WHERE name = 'names'")
	again := p.open(t)
	for name, want := range map[string]string{"zo\u00eb": "Zoe\u0308", "ana": "ana", decomposed: composed, string(second.ID): composed} {
		if u, err := again.UserNamed(t.Context(), name); err != nil || u.Name != want {
			t.Errorf("%+q is %+q, %v", name, u.Name, err)
		}
	}
	users, err := again.Users(t.Context(), latchkey.Page{})
	must(t, err)
	if len(users) != 4 {
		t.Errorf("%d users are left", len(users))
	}
}
