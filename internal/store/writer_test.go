package store

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// queued sends something to the writer from inside a transaction, and returns
// when it waits behind that.
func queued(w *writer, all *sync.WaitGroup, send func()) {
	n := len(w.work)
	all.Go(send)
	for len(w.work) == n {
		runtime.Gosched()
	}
}

func TestALookSeesWhatIsCommittedAndNothingElse(t *testing.T) {
	t.Parallel()
	db := embeddedAt(t)
	const count = "SELECT count(*) FROM meta WHERE name LIKE 'put%'"
	var all sync.WaitGroup
	var once sync.Once
	looked := false
	look := func() {
		err := db.latest(t.Context(), func(r scanner) error {
			var here, there int64 // on the connection that writes, and on another
			err := errors.Join(r.Scan(&here), db.row(t.Context(), count).Scan(&there))
			if looked = true; here != there {
				t.Errorf("%d rows where %d are committed", here, there)
			}
			return err
		}, count)
		if err != nil {
			t.Error(err)
		}
	}
	must(t, db.InTx(t.Context(), func(tx *Tx) error {
		once.Do(func() { queued(db.on.(*embedded).write, &all, look) })
		return tx.exec("INSERT INTO meta (name, value) VALUES ('put', '')")
	}))
	all.Wait()
	if !looked {
		t.Error("nobody looked")
	}
	look()
}

func TestAFailureUndoesItselfAndNothingElseOfItsBatch(t *testing.T) {
	t.Parallel()
	db := embeddedAt(t)
	w, bad := db.on.(*embedded).write, errors.New("bad")
	put := func(name string, result error) func(*Tx) error {
		return func(tx *Tx) error {
			return errors.Join(tx.exec("INSERT INTO meta (name, value) VALUES ($1, '')", name), result)
		}
	}
	var all sync.WaitGroup
	var once sync.Once
	must(t, db.InTx(t.Context(), func(tx *Tx) error {
		once.Do(func() {
			for name, want := range map[string]error{"put 1": nil, "no 1": bad, "put 2": nil, "no 2": bad} {
				queued(w, &all, func() {
					if err := db.InTx(t.Context(), put(name, want)); !errors.Is(err, want) {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
		})
		return put("put 0", nil)(tx)
	}))
	all.Wait()
	var good, stray int
	must(t, db.row(t.Context(), "SELECT count(*) FROM meta WHERE name LIKE 'put%'").Scan(&good))
	must(t, db.row(t.Context(), "SELECT count(*) FROM meta WHERE name LIKE 'no%'").Scan(&stray))
	if good != 3 || stray != 0 {
		t.Errorf("%d of the good and %d of the bad are there", good, stray)
	}
}

func TestALookThatPanicsStopsNobodyElse(t *testing.T) {
	t.Parallel()
	db := embeddedAt(t)
	const two = "SELECT name FROM meta ORDER BY name LIMIT 2"
	err := db.latest(t.Context(), func(scanner) error { panic("at the disco") }, two)
	if err == nil || !strings.Contains(err.Error(), "disco") {
		t.Errorf("got %v", err)
	}
	bad := errors.New("bad")
	if err := db.latest(t.Context(), func(scanner) error { return bad }, two); !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
	must(t, db.InTx(t.Context(), func(tx *Tx) error { return tx.exec("INSERT INTO meta (name, value) VALUES ('put', '')") }))
	rows := 0
	must(t, db.latest(t.Context(), func(scanner) error { rows++; return nil }, two))
	if rows != 2 {
		t.Errorf("%d rows", rows)
	}
}
