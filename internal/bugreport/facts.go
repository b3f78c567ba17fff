package bugreport

import (
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
		"kernel": "/proc/sys/kernel/osrelease", "load": "/proc/loadavg", "uptime_seconds": "/proc/uptime", "suid_dumpable": "/proc/sys/fs/suid_dumpable",
	} {
		if text, err := readSome(path, 4096); err == nil {
			about[key] = strings.TrimSpace(text)
		}
	}
	if text, err := readSome("/etc/os-release", 8192); err == nil {
		about["system"] = valueOf(text, "PRETTY_NAME=")
	}
	if text, err := readSome("/proc/meminfo", 8192); err == nil {
		about["memory"] = []string{valueOf(text, "MemTotal:"), valueOf(text, "MemAvailable:")}
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

// File adds a text file, or says why it could not be read.
func (r *Report) File(name, path string) {
	text, err := readSome(path, maxPart)
	if err != nil {
		r.Problem(name, err)
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
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		r.Problem(part, fmt.Errorf("%s: %w", name, err))
		return
	}
	r.Text(part, string(out))
}
