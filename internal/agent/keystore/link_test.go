//go:build unix

package keystore_test

import (
	"os"
	"path/filepath"
	"testing"

	"latchkey/internal/agent/keystore"
)

// Root makes the keys in a folder that the agent's account owns: a link that
// somebody puts in their place must not make root change what it leads to.
func TestKeysAreNotMadeThroughALink(t *testing.T) {
	t.Parallel()
	victim, state := t.TempDir(), t.TempDir()
	must(t, os.Chmod(victim, 0o755))
	dir := filepath.Join(state, "keys")
	must(t, os.Symlink(victim, dir))
	if _, err := keystore.Create(dir); err == nil {
		t.Error("keys were made through a link")
	}
	info, err := os.Stat(victim)
	must(t, err)
	if info.Mode().Perm() != 0o755 {
		t.Errorf("mode %04o, was 0755", info.Mode().Perm())
	}
	entries, err := os.ReadDir(victim)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("%s was written there", entries[0].Name())
	}
}
