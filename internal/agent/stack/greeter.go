package stack

import (
	"path"
	"slices"
	"strings"
)

// An option is one "key = value" of an ini file.
type option struct {
	file    string
	section string
	key     string
	value   string
}

// options reads ini files: the given ones and all below the given folders.
// What is no setting is passed over, as the programs do.
func (t Tree) options(files []string, dirs ...string) []option {
	for _, d := range dirs {
		names, err := t.names(d)
		if err != nil {
			continue
		}
		for _, n := range names {
			files = append(files, path.Join(d, n))
		}
	}
	var found []option
	for _, f := range files {
		data, err := t.read(f)
		if err != nil {
			continue
		}
		found = append(found, ini(f, data)...)
	}
	return found
}

func ini(file string, data []byte) []option {
	var found []option
	section := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		found = append(found, option{file, section, strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)})
	}
	return found
}

// A greeterSetting is a setting with which a greeter lets somebody in without
// asking.
type greeterSetting struct {
	name  string
	files []string
	dirs  []string
	on    func(option) bool
}

var greeters = []greeterSetting{
	{
		"lightdm", []string{"/etc/lightdm/lightdm.conf"}, []string{"/usr/share/lightdm/lightdm.conf.d", "/etc/lightdm/lightdm.conf.d"},
		func(o option) bool {
			return (o.key == "autologin-user" && o.value != "") || (o.key == "autologin-guest" && o.value == "true")
		},
	},
	{
		"gdm", []string{"/etc/gdm3/daemon.conf", "/etc/gdm3/custom.conf", "/etc/gdm/custom.conf"}, nil,
		func(o option) bool {
			return slices.Contains([]string{"automaticloginenable", "timedloginenable"}, o.key) && strings.EqualFold(o.value, "true")
		},
	},
	{
		"sddm", []string{"/etc/sddm.conf"}, []string{"/usr/lib/sddm/sddm.conf.d", "/etc/sddm.conf.d"},
		func(o option) bool {
			return strings.EqualFold(o.section, "Autologin") && o.key == "user" && o.value != ""
		},
	},
	{
		"greetd", []string{"/etc/greetd/config.toml"}, nil,
		func(o option) bool { return o.section == "initial_session" && o.key == "user" },
	},
}

// autologin reports whether a greeter lets somebody in at boot.
func (t Tree) autologin(greeter string) bool {
	for _, g := range greeters {
		if g.name == greeter {
			return slices.ContainsFunc(t.options(g.files, g.dirs...), g.on)
		}
	}
	return true // an unknown one might
}

// GreeterDoors looks for automatic logins, at the screen and at terminals.
func (t Tree) GreeterDoors() []Door {
	var doors []Door
	for _, g := range greeters {
		options := t.options(g.files, g.dirs...)
		if len(options) == 0 {
			continue
		}
		d := Door{Name: g.name + " automatic login", Kind: "greeter", State: Protected}
		for _, o := range options {
			if g.on(o) {
				d.State = Open
				d.Reasons = append(d.Reasons, o.file+": "+o.key+" lets somebody in at boot without asking")
				d.Next = "remove the setting from " + o.file
			}
		}
		doors = append(doors, d)
	}
	return append(doors, t.gettyDoor())
}

const unitDir = "/etc/systemd/system"

// gettyDoor looks for terminals that come up logged in.
func (t Tree) gettyDoor() Door {
	d := Door{Name: "terminals", Kind: "console", State: Protected}
	for _, dir := range t.unitFolders() {
		for _, o := range t.options(nil, dir) {
			if o.key == "execstart" && (hasWord(o.value, "--autologin", "-a") && strings.Contains(o.value, "getty") || strings.Contains(o.value, "login -f")) {
				d.Reasons = append(d.Reasons, o.file+": comes up logged in, the auth phase is never asked")
				d.Next = "remove the automatic login from " + o.file
			}
		}
		if t.exists(path.Join(dir, "debug-shell.service")) && strings.HasSuffix(dir, ".wants") {
			d.Reasons = append(d.Reasons, dir+"/debug-shell.service: a root shell without a login on tty9")
			d.Next = "systemctl disable debug-shell.service"
		}
	}
	if len(d.Reasons) > 0 {
		d.State = Open
	}
	d.Notes = append(d.Notes, "the boot loader and the recovery console (sulogin) ask for no factor: protect them with their own password and an encrypted disk")
	return d
}

// unitFolders are the local unit folder and the drop-in and wants folders in
// it.
func (t Tree) unitFolders() []string {
	dirs := []string{unitDir}
	for _, n := range t.folders(unitDir) {
		if strings.HasSuffix(n, ".d") || strings.HasSuffix(n, ".wants") {
			dirs = append(dirs, path.Join(unitDir, n))
		}
	}
	return dirs
}

func hasWord(s string, words ...string) bool {
	return slices.ContainsFunc(strings.Fields(s), func(f string) bool {
		name, _, _ := strings.Cut(f, "=")
		return slices.Contains(words, name)
	})
}
