package store

import (
	"errors"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/audit"
	"latchkey/internal/secret"
)

// A server stood still for longer than its lease, and somebody changed the
// master key meanwhile. It goes on: nothing may be stored under the dead key,
// and it must end.
func TestAServerWhoseMasterKeyIsDeadStoresNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	tr := trailAt(t, p)
	tr.forward(3)
	u, err := tr.AddUser(t.Context(), latchkey.User{Name: "ana", Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	must(t, err)
	_, _, err = tr.ClaimRequest(t.Context(), []byte("claimed before"), []byte("command"))
	must(t, err)
	_, err = tr.AnnounceKey(t.Context(), latchkey.Event{Kind: latchkey.KeyAnnounced})
	must(t, err)
	announced := tr.signing(t, KeyAnnounced)
	must(t, tr.Attend(t.Context(), "slow", -time.Second))
	_, _, err = Rewrap(t.Context(), p.config(), latchkey.Event{Kind: latchkey.MasterKeyChanged})
	must(t, err)

	for name, write := range map[string]func() error{
		"says that it runs": func() error { return tr.Attend(t.Context(), "slow", time.Minute) },
		"adds a token": func() error {
			a := latchkey.Authenticator{User: u.ID, Kind: latchkey.HOTP, Algorithm: "SHA1", Digits: 6, CreatedAt: noon}
			_, err := tr.AddAuthenticator(t.Context(), a, secret.Bytes("12345678901234567890"), 0, latchkey.Event{Kind: latchkey.AuthenticatorAdded})
			return err
		},
		"withdraws a key": func() error {
			return tr.RetireKey(t.Context(), announced, false, latchkey.Event{Kind: latchkey.KeyRetired})
		},
		"keeps an answer": func() error {
			return tr.AnswerRequest(t.Context(), []byte("claimed before"), 201, secret.Bytes("seed"))
		},
		"seals": func() error { return tr.sealer.Round(t.Context()) },
		"verifies": func() error {
			_, err := audit.NewChain(tr.DB, tr.notary).VerifyAll(t.Context())
			return err
		},
	} {
		if err := write(); !errors.Is(err, ErrOvertaken) || latchkey.CodeOf(err) != latchkey.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	after := trailAt(t, p)
	after.now = after.now.Add(time.Minute)
	after.notary = audit.NotaryOf(after.Keys().Deployment, after.Ring)
	after.forward(1)
	if v := after.verify(); !v.OK || after.incidents() != 0 {
		t.Errorf("%+v, %d incidents", v, after.incidents())
	}
}

func (tr *trail) signing(t *testing.T, state string) string {
	t.Helper()
	keys, err := tr.SigningKeys(t.Context())
	must(t, err)
	for _, k := range keys {
		if k.State == state {
			return k.ID
		}
	}
	t.Fatalf("no key is %s", state)
	return ""
}

// On a network each server has a clock of its own. That of the database says
// whether one runs.
func TestAServerWithASlowClockIsNotTakenForADeadOne(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if p.database == "" {
		return // SQLite: all run on one computer
	}
	c := p.config()
	c.Now = func() time.Time { return noon.Add(-2 * time.Hour) }
	slow, err := Open(t.Context(), c)
	must(t, err)
	defer func() { must(t, slow.Close()) }()
	must(t, slow.Attend(t.Context(), "slow", time.Minute))
	if _, _, err := Rewrap(t.Context(), p.config(), latchkey.Event{Kind: latchkey.MasterKeyChanged}); latchkey.CodeOf(err) != latchkey.Busy {
		t.Errorf("the master key changes: %v", err)
	}
	if err := newUpgrade(t, p).run(t); latchkey.CodeOf(err) != latchkey.Busy {
		t.Errorf("the tables change: %v", err)
	}
	fast := p.config()
	fast.Now = func() time.Time { return noon.Add(time.Hour) }
	other, err := Open(t.Context(), fast)
	must(t, err)
	defer func() { must(t, other.Close()) }()
	must(t, other.Leave(t.Context(), "fast"))
	var n int
	must(t, slow.row(t.Context(), "SELECT count(*) FROM leases WHERE name = 'serving/slow'").Scan(&n))
	if n != 1 {
		t.Error("a server that ends takes another one's place away")
	}
}
