//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// micro runs the benchmarks of the packages, the making of a bundle among them.
func (b *bench) micro() error {
	b.section("Parts: go test -bench")
	list, err := b.inSource("scripts/go-packages", "all")
	if err != nil {
		return err
	}
	out, err := b.inSource("go", append([]string{"test", "-run", "^$", "-bench", ".", "-benchmem"}, strings.Fields(list)...)...)
	if err != nil {
		return err
	}
	pkg := ""
	for line := range strings.Lines(out) {
		if p, ok := strings.CutPrefix(line, "pkg: latchkey/"); ok {
			pkg = strings.TrimSpace(p)
		}
		if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(f[0], "Benchmark") {
			name, _, _ := strings.Cut(strings.TrimPrefix(f[0], "Benchmark"), "-")
			b.value(pkg+": "+name, "%s", strings.Join(f[2:], " "))
		}
	}
	return nil
}

// inSource runs a program in the source folder.
func (b *bench) inSource(program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = b.root
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", program, err, out.Bytes())
	}
	return out.String(), nil
}
