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

// Scenario is the occasion that a PAM service stands for. An unknown service
// is remote where the other end of the line has a name, else the console.
func Scenario(service, rhost string) latchkey.Scenario {
	if s, ok := byService[service]; ok {
		return s
	}
	if rhost != "" {
		return latchkey.RemoteLogon
	}
	return latchkey.Console
}

// scenarioOf is the scenario of a BEGIN: the one it names, or that of its
// service. A name outside the list is no scenario.
func scenarioOf(named, service, rhost string) (latchkey.Scenario, bool) {
	if named == "" {
		return Scenario(service, rhost), true
	}
	s := latchkey.Scenario(named)
	return s, slices.Contains(latchkey.Scenarios, s)
}
