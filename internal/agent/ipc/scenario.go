package ipc

import (
	"slices"

	"latchkey"
)

// services maps PAM services to scenarios. A screen locker that is missing
// here is only stricter: its user is asked as at the console, and one that runs
// as the user is refused.
var services = map[latchkey.Scenario][]string{
	latchkey.RemoteLogon: {"sshd", "xrdp-sesman", "cockpit", "rlogin", "rsh", "telnet", "vsftpd", "x2go", "nx"},
	latchkey.Elevate:     {"sudo", "sudo-i", "su", "su-l", "runuser", "runuser-l", "polkit-1", "doas", "pkexec", "ksu"},
	latchkey.Console: {
		"login", "lightdm", "lightdm-greeter", "gdm", "gdm-password", "gdm-smartcard", "gdm-fingerprint", "sddm",
		"sddm-greeter", "greetd", "lxdm", "xdm", "slim", "ly", "kdm", "wdm", "nodm", "entrance",
	},
	latchkey.Unlock: {
		"xscreensaver", "i3lock", "swaylock", "hyprlock", "waylock", "gtklock", "kde", "kde-fingerprint",
		"kde-smartcard", "kscreensaver", "gnome-screensaver", "cinnamon-screensaver", "mate-screensaver",
		"xfce4-screensaver", "light-locker", "xsecurelock", "vlock", "physlock", "xlock", "slock", "screen", "tmux",
	},
}

var byService = func() map[string]latchkey.Scenario {
	m := map[string]latchkey.Scenario{}
	for scenario, names := range services {
		for _, n := range names {
			m[n] = scenario
		}
	}
	return m
}()

// Services are PAM services that the built-in list does not know. They add to
// it and change nothing in it: sshd stays remote.
type Services struct {
	Scenarios map[string]latchkey.Scenario
	// Lost says that there is a list and that it cannot be read: a service that
	// might be in it is then no occasion at all.
	Lost bool
}

// Known reports whether the built-in list has the service.
func Known(service string) bool {
	_, ok := byService[service]
	return ok
}

// Scenario is the occasion that a PAM service stands for. An unknown service
// is remote where the other end of the line has a name, else the console.
func (s Services) Scenario(service, rhost string) (latchkey.Scenario, bool) {
	if known, ok := byService[service]; ok {
		return known, true
	}
	if s.Lost {
		return "", false
	}
	if added, ok := s.Scenarios[service]; ok {
		return added, true
	}
	if rhost != "" {
		return latchkey.RemoteLogon, true
	}
	return latchkey.Console, true
}

// scenarioOf is the scenario of a BEGIN: the one it names, or that of its
// service. A name outside the list is no scenario.
func (s Services) scenarioOf(named, service, rhost string) (latchkey.Scenario, bool) {
	if named == "" {
		return s.Scenario(service, rhost)
	}
	scenario := latchkey.Scenario(named)
	return scenario, slices.Contains(latchkey.Scenarios, scenario)
}
