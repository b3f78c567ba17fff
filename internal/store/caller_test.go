package store

import (
	"testing"
	"time"

	"latchkey"
)

// Whatever ends a token ends what is asked for with it, at the next transaction.
func TestATokenThatEndedWritesNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{
		"nothing happened":   "SELECT 1",
		"the token ended":    "UPDATE api_tokens SET expires_at = 1",
		"the token is gone":  "DELETE FROM api_tokens",
		"its owner is out":   "UPDATE admins SET disabled = TRUE",
		"his role is less":   "UPDATE admins SET role = 'auditor'",
		"it is another's id": "UPDATE api_tokens SET id = 'tok_0'",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			db := p.open(t)
			must(t, db.CreateAdmin(t.Context(), "root", latchkey.Owner, []byte("hash of a token"), latchkey.Event{Kind: latchkey.AdminCreated}))
			k, err := db.AdminByToken(t.Context(), []byte("hash of a token"))
			must(t, err)
			p.run(t, end)
			_, err = db.AddUser(db.As(t.Context(), k), latchkey.User{Name: "ana", Directory: latchkey.Builtin}, latchkey.Event{Time: time.Now(), Kind: latchkey.UserAdded})
			if want := map[bool]latchkey.Code{true: "", false: latchkey.Unauthorized}[end == "SELECT 1"]; latchkey.CodeOf(err) != want {
				t.Errorf("got %v, want the code %q", err, want)
			}
			users, err := db.Users(t.Context(), latchkey.Page{})
			must(t, err)
			if len(users) > 0 != (end == "SELECT 1") {
				t.Errorf("there are %d users", len(users))
			}
		})
	}
}
