package fleet_test

import (
	"encoding/json"
	"math"
	"testing"

	"latchkey/internal/api"
	"latchkey/internal/seal"
)

// A key that was stolen signs the last number there is; the version after it
// would be the first one again, and no machine would take settings any more.
func TestAMachineProvesNoVersionFurtherThanAYearAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("pc-1")
	k := w.db.Keys()
	doc, err := json.Marshal(api.Settings{Deployment: k.Deployment, Machine: m.id, Version: math.MaxUint64})
	w.must(err)
	m.proof, err = seal.Sign(k.Signer, api.SettingsType, doc)
	w.must(err)
	m.sync() // fails where the version is not above the last
	if most := uint64(w.now().AddDate(1, 0, 0).UnixMilli()) + 1; m.settings.Version != most {
		t.Errorf("version %d, want %d", m.settings.Version, most)
	}
	m.sync()
}
