package bugreport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of what is collected.
const (
	logLines    = "2000"
	commandTime = 10 * time.Second
	mostFiles   = 500
)

// Program adds what the program is. Of its environment it tells the names of
// our own variables, never what they hold.
func (r *Report) Program(name, version string) {
	about := map[string]any{"program": name, "program_version": version, "go": runtime.Version(), "report_time": r.now.UTC().Format(time.RFC3339)}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if strings.HasPrefix(s.Key, "GO") || s.Key == "-tags" || s.Key == "vcs.modified" {
				about[s.Key] = s.Value
			}
		}
	}
	var set []string
	for _, v := range os.Environ() {
		if key, _, _ := strings.Cut(v, "="); strings.HasPrefix(key, "LATCHKEY_") || strings.HasPrefix(key, "GO") {
			set = append(set, key)
		}
	}
	slices.Sort(set)
	about["variables_set"] = set
	r.JSON("program.json", about)
}

// Machine adds what the machine is, and how much room the folders have.
func (r *Report) Machine(folders ...string) {
	if name, err := os.Hostname(); err == nil {
		r.Scrub.Know("host", name)
	}
	about := map[string]any{"os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU()}
	for key, path := range map[string]string{
		"kernel": "/proc/sys/kernel/osrelease", "load": "/proc/loadavg", "suid_dumpable": "/proc/sys/fs/suid_dumpable",
	} {
		if text, err := readSome(path, 4096); err == nil {
			about[key] = strings.TrimSpace(text)
		}
	}
	if text, err := readSome("/etc/os-release", 8192); err == nil {
		about["system"] = valueOf(text, "PRETTY_NAME=")
	}
	if text, err := readSome("/proc/meminfo", 8192); err == nil {
		about["memory"] = map[string]int64{"total_kib": countOf(valueOf(text, "MemTotal:")), "available_kib": countOf(valueOf(text, "MemAvailable:"))}
	}
	if text, err := readSome("/proc/uptime", 4096); err == nil {
		about["uptime_seconds"] = countOf(text)
	}
	room := map[string]any{}
	for _, dir := range folders {
		if free, all, err := space(dir); err == nil {
			room[dir] = map[string]uint64{"free_bytes": free, "all_bytes": all}
		}
	}
	about["room"] = room
	r.JSON("machine.json", about)
}

func valueOf(text, key string) string {
	for l := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(l, key); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}

// countOf is the whole number that a text begins with: as a text it could be a
// code.
func countOf(text string) int64 {
	n, _ := strconv.ParseInt(text[:len(text)-len(strings.TrimLeft(text, "0123456789"))], 10, 64)
	return n
}

// readSome reads the beginning of a file.
func readSome(path string, most int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most))
	return string(raw), err
}

// readEnd reads the end of a file, in whole lines: of half a line nobody can tell
// any more whether it was a secret's.
func readEnd(path string, most int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() <= most {
		return readSome(path, most)
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, info.Size()-most, most))
	_, lines, _ := strings.Cut(string(raw), "\n")
	return "[the beginning was cut]\n" + lines, err
}

// File adds the end of a text file, or says why it could not be read.
func (r *Report) File(name, path string) {
	text, err := readEnd(path, maxPart)
	if err != nil {
		r.Problem(name, err)
		return
	}
	if strings.TrimSpace(text) == "" {
		r.Problem(name, fmt.Errorf("%s is empty", path))
		return
	}
	r.Text(name, text)
}

// Folder adds what lies in a folder: names, sizes, modes, nothing of what is in
// the files.
func (r *Report) Folder(name, dir string) {
	var out strings.Builder
	lines, n := json.NewEncoder(&out), 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintf(&out, "%s: %v\n", path, err)
			return nil
		}
		if n++; n > mostFiles {
			return fs.SkipAll
		}
		info, err := d.Info()
		if err != nil {
			return nil // it went away
		}
		below, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return lines.Encode(map[string]any{"mode": info.Mode().String(), "size": info.Size(), "time": info.ModTime().UTC(), "path": below})
	})
	if err != nil {
		r.Problem(name, err)
		return
	}
	r.Text(name, out.String())
}

// Service adds what systemd knows of a unit, and the end of its log.
func (r *Report) Service(ctx context.Context, unit string) {
	r.command(ctx, "service.txt", "systemctl", "show", unit, "--no-pager", "--property="+
		"ActiveState,SubState,Result,NRestarts,ExecMainStatus,ActiveEnterTimestamp,StatusText,FragmentPath,DropInPaths,UnitFileState,MemoryCurrent")
	r.command(ctx, "log.txt", "journalctl", "--unit="+unit, "--lines="+logLines, "--output=cat", "--no-pager")
}

func (r *Report) command(ctx context.Context, part, name string, args ...string) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		r.Problem(part, fmt.Errorf("%s: %w: %s", name, err, line1(said.String())))
		return
	}
	if text := strings.TrimSpace(out.String()); text == "" || text == "-- No entries --" {
		r.Problem(part, fmt.Errorf("%s has nothing to say of it (%s): %s", name, strings.Join(args[:min(2, len(args))], " "), line1(said.String())))
		return
	}
	r.Text(part, out.String())
}
