package stack

import (
	"debug/elf"
	"fmt"
	"slices"
)

// entries are what libpam looks for in our module.
var entries = []string{"pam_sm_authenticate", "pam_sm_setcred", "pam_sm_acct_mgmt"}

// ModuleLoads reports whether a module's file is a shared library with the
// entry points that libpam looks for. It loads nothing: this process is root's.
func (t Tree) ModuleLoads(name string) error {
	file, err := t.ModuleFile(name)
	if err != nil {
		return err
	}
	f, err := elf.Open(t.path(file))
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, plain(err))
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	for _, want := range entries {
		has := func(s elf.Symbol) bool { return s.Name == want && s.Section != elf.SHN_UNDEF }
		if f.Type != elf.ET_DYN || !slices.ContainsFunc(symbols, has) {
			return fmt.Errorf("%s is no PAM module: it has no %s", file, want)
		}
	}
	return nil
}
