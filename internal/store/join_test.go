package store

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/fleet"
)

// A transaction that fails has its whole batch done again. Whoever comes without
// a token begins none.
func TestWhoHasNoEnrollmentTokenWaitsForNobodysTransaction(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db.CreateMachineToken(t.Context(), fleet.Ticket{Hash: []byte("old"), Uses: 1, ExpiresAt: noon.Add(-time.Hour)}, latchkey.Event{Kind: latchkey.MachineTokenCreated}))
	began, end, done := make(chan bool, 2), make(chan bool), make(chan error) // the first is said again where it runs again
	go func() {
		done <- db.InTx(t.Context(), func(*Tx) error {
			began <- true
			<-end
			return nil
		})
	}()
	<-began
	for token, want := range map[string]latchkey.Code{"junk": latchkey.Unauthorized, "old": latchkey.Expired} {
		answered := make(chan error, 1)
		go func() {
			_, err := db.Join(t.Context(), []byte(token), latchkey.Machine{Name: "pc"}, latchkey.Event{Kind: latchkey.MachineEnrolled})
			answered <- err
		}()
		select {
		case err := <-answered:
			if latchkey.CodeOf(err) != want {
				t.Errorf("%s: %v", token, err)
			}
		case <-time.After(3 * time.Second):
			t.Errorf("%s waits for the writer", token)
		}
	}
	close(end)
	must(t, <-done)
}
