package stack

import (
	"path"
	"slices"
	"strings"
)

// byUsers are programs that a user starts and that become root by themselves:
// there pam_rootok says that root started them. In all others it says nothing,
// for login programs always run as root.
var byUsers = []string{"su", "su-l", "runuser", "runuser-l", "chfn", "chsh", "passwd", "chpasswd", "newusers", "groupmems"}

func calledByUser(service string) bool { return slices.Contains(byUsers, service) }

// noDoors are services by which nobody comes in, and why.
var noDoors = map[string]string{
	"chfn":         "changes the name in the caller's own account",
	"chsh":         "changes the caller's own shell",
	"passwd":       "changes passwords",
	"chpasswd":     "changes passwords, by root",
	"newusers":     "makes accounts, by root",
	"groupmems":    "changes groups",
	"runuser":      "root only, who is not asked",
	"runuser-l":    "root only, who is not asked",
	"cron":         "runs jobs of people who are not there, asks nobody",
	"crond":        "runs jobs of people who are not there, asks nobody",
	"atd":          "runs jobs of people who are not there, asks nobody",
	"systemd-user": "starts the services of a user who came in elsewhere",

	"lightdm-greeter":        "the greeter's own session, nobody's login",
	"sddm-greeter":           "the greeter's own session, nobody's login",
	"gdm-launch-environment": "the greeter's own session, nobody's login",
	"greetd-greeter":         "the greeter's own session, nobody's login",
}

// autologins are services that let a configured user in at boot, and the
// switch that turns them on.
var autologins = []string{"lightdm-autologin", "gdm-autologin", "sddm-autologin"}

// fragments are files that services include; no program asks for them.
var fragments = []string{
	"system-auth", "password-auth", "fingerprint-auth", "smartcard-auth", "postlogin", "config-util", "system-login",
	"system-local-login", "system-remote-login", "system-services",
}

// oneField are lockers that can take a single secret.
var oneField = []string{"i3lock", "swaylock", "hyprlock", "waylock", "physlock", "slock"}

// OneField reports whether a service's program can show one hidden field only.
func OneField(service string) bool { return slices.Contains(oneField, service) }

// PAMDoors judges every PAM service of the machine.
func (t Tree) PAMDoors() ([]Door, error) {
	services, err := t.Services()
	if err != nil {
		return nil, err
	}
	included := t.included(services)
	var doors []Door
	for _, s := range services {
		if !strings.HasPrefix(s, "common-") && !slices.Contains(fragments, s) && !included[s] {
			doors = append(doors, t.PAMDoor(s))
		}
	}
	if !slices.Contains(services, other) {
		doors = append(doors, Door{Name: other, Kind: "pam", State: Protected, Notes: []string{"services without a file of their own let nobody in"}})
	}
	return doors, nil
}

// included are services that only serve others: they are pulled in and are no
// program's name as far as we know.
func (t Tree) included(services []string) map[string]bool {
	found := map[string]bool{}
	for _, s := range services {
		for _, f := range t.loadOnly(s).Included {
			if name := path.Base(f); !knownService(name) {
				found[name] = true
			}
		}
	}
	return found
}

// PAMDoor judges one PAM service.
func (t Tree) PAMDoor(service string) Door {
	d := Door{Name: service, Kind: "pam"}
	if why := t.noDoor(service); why != "" {
		d.State, d.Reasons = Outside, []string{why}
		return d
	}
	s := t.Load(service)
	v := t.Judge(s)
	d.State, d.Reasons, d.Next, d.Notes = v.State, v.Reasons, v.Next, v.Notes
	if OneField(service) && v.State == Protected && !slices.ContainsFunc(s.Auth, Line.splits) && len(s.Auth) > 0 {
		d.Notes = append(d.Notes, "this program shows one field: without split=N people cannot answer and stay locked out")
	}
	return d
}

// noDoor says why nobody comes in by a service, "" where somebody may.
func (t Tree) noDoor(service string) string {
	if why, ok := noDoors[service]; ok {
		return why
	}
	if slices.Contains(autologins, service) && !t.autologin(strings.TrimSuffix(service, "-autologin")) {
		return "used only with automatic login, which is off"
	}
	s := t.loadOnly(service)
	if s.Broken == "" && s.File != "" && service != other && len(s.Auth) == 0 && len(s.Account) == 0 {
		return "has neither an auth nor an account phase"
	}
	return ""
}

// known are login programs whose service files others like to include.
var known = []string{
	"login", "remote", "su", "su-l", "sudo", "sudo-i", "sshd", "polkit-1", "gdm-password", "gdm", "lightdm", "sddm", "kde",
	"xscreensaver", "vlock", "doas", "cockpit", "xrdp-sesman", other,
}

func knownService(name string) bool {
	_, listed := noDoors[name]
	return listed || slices.Contains(known, name)
}
