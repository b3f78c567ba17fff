package store

import (
	"path/filepath"
	"testing"
	"time"
)

// Of one backup nobody makes two servers whose sets of keys are of one version:
// not one after the other in one place, also where the clock went back, and not
// in two places.
func TestTwoRestoresOfOneBackupAreTwoEpochs(t *testing.T) {
	t.Parallel()
	p, file := newPlace(t), filepath.Join(t.TempDir(), "backup")
	db, err := Open(t.Context(), p.config())
	must(t, err)
	_, err = db.Backup(t.Context(), file, filepath.Join(p.dir, MasterKeyFile))
	must(t, err)
	must(t, db.Close())
	restored := func(p place, at time.Time) uint64 {
		r := p.restore(file)
		r.Replace, r.Now = true, func() time.Time { return at }
		_, _, err := r.Run(t.Context())
		must(t, err)
		again, err := Open(t.Context(), p.config())
		must(t, err)
		defer func() { must(t, again.Close()) }()
		if v := again.Ring().Version >> epochBits; v != again.Keys().Epoch {
			t.Errorf("the set is of epoch %d, the server of %d", v, again.Keys().Epoch)
		}
		return again.Keys().Epoch
	}
	first := restored(p, noon)
	second := restored(p, noon.Add(-time.Second))
	behind := restored(p, time.Unix(1, 0))
	elsewhere := restored(newPlace(t), noon.Add(time.Hour))
	if second <= first || behind <= second || elsewhere <= behind {
		t.Errorf("epochs %d, %d, %d and %d", first, second, behind, elsewhere)
	}
}

func TestAnEpochThatNoServerWroteIsNotGoneOnFrom(t *testing.T) {
	t.Parallel()
	if _, err := nextEpoch(1<<epochSize-1, 0, noon); err == nil {
		t.Error("the version of the set of keys overflows")
	}
	if e, err := nextEpoch(1<<40, 7, noon); err != nil || e != 1<<40+1 {
		t.Errorf("%d, %v", e, err)
	}
	db := open(t)
	must(t, db.InTx(t.Context(), func(x *Tx) error { return x.exec("UPDATE meta SET value = '9223372036854775807' WHERE name = 'epoch'") }))
	if _, networked := db.on.(*networked); networked {
		return
	}
	if e := epochOf(t.Context(), db.on.(*embedded).reads); e != 0 {
		t.Errorf("epoch %d", e)
	}
}
