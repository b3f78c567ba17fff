package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"latchkey"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/seal"
)

// SettingsFile is where the machine's administrator may put settings.
const SettingsFile = "/etc/latchkey/agent.json"

// maxServices bounds the list of services.
const maxServices = 256

// Settings are what a running agent can be told anew. All of them may be
// absent.
type Settings struct {
	// LogLevel is debug, info, warn or error; "" means info.
	LogLevel string `json:"log_level"`
	// Services are PAM services beyond the built-in list, by scenario.
	Services map[latchkey.Scenario][]string `json:"services"`
}

var levels = map[string]slog.Level{
	"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// ReadSettings reads and checks a settings file as a whole; one that is not
// there is empty. Errors name the file and what is wrong with it.
func ReadSettings(path string) (Settings, error) {
	raw, err := readOwn(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, nil
	}
	var s Settings
	if err == nil {
		err = seal.DecodeStrict(raw, &s)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return Settings{}, latchkey.Errorf(latchkey.Invalid, "%s: %v", path, err).
			WithHint("mend the file, then: latchkey-agent config check")
	}
	return s, nil
}

// readOwn reads a file that root or the agent's user wrote: whoever may write
// it says what the occasions of logins are.
func readOwn(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Mode().Perm()&0o022 != 0 || !trusted(info):
		return nil, errors.New("it must be root's, and nobody else may write it")
	}
	return io.ReadAll(io.LimitReader(f, seal.MaxSize+1))
}

func (s Settings) check() error {
	if _, ok := levels[s.LogLevel]; !ok {
		return fmt.Errorf("log_level is debug, info, warn or error, not %q", s.LogLevel)
	}
	seen, n := map[string]bool{}, 0
	for scenario, names := range s.Services {
		if !slices.Contains(latchkey.Scenarios, scenario) {
			return fmt.Errorf("services: there is no scenario %q", scenario)
		}
		for _, name := range names {
			switch n++; {
			case name == "" || len(name) > 64:
				return fmt.Errorf("services: %q is no service's name", name)
			case ipc.Known(name):
				return fmt.Errorf("services: %q is known already, and stays what it is", name)
			case seen[name]:
				return fmt.Errorf("services: %q is there twice", name)
			case n > maxServices:
				return fmt.Errorf("services: more than %d", maxServices)
			}
			seen[name] = true
		}
	}
	return nil
}

// services is the list as the login socket needs it.
func (s Settings) services() *ipc.Services {
	out := &ipc.Services{Scenarios: map[string]latchkey.Scenario{}}
	for scenario, names := range s.Services {
		for _, n := range names {
			out.Scenarios[n] = scenario
		}
	}
	return out
}

// Configure reads the settings file. One that is wrong changes nothing, and
// Status says so; where there was none before, services that it may have named
// are no occasion for anybody until it is mended, and all others work.
func (a *Agent) Configure() error {
	a.settling.Lock()
	defer a.settling.Unlock()
	s, err := ReadSettings(a.settingsFile)
	a.unsettled.Store(&err)
	if err != nil {
		a.services.CompareAndSwap(nil, &ipc.Services{Lost: true})
		return err
	}
	a.services.Store(s.services())
	if a.level != nil {
		a.level.Set(levels[s.LogLevel])
	}
	return nil
}

// settingsProblem is why the settings file was refused when it was last read.
func (a *Agent) settingsProblem() string {
	if err := a.unsettled.Load(); err != nil && *err != nil {
		return (*err).Error()
	}
	return ""
}
