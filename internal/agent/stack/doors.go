package stack

import "slices"

// Doors lists every way into the machine that this package knows. sshdT is
// what "sshd -T" printed, "" where it could not be asked.
func (t Tree) Doors(sshdT string) ([]Door, error) {
	doors, err := t.PAMDoors()
	if err != nil {
		return nil, err
	}
	doors = append(doors, t.sshDoors(sshdT)...)
	if d, there := t.SudoDoor(); there {
		doors = append(doors, d)
	}
	if d, there := t.PolkitDoor(); there {
		doors = append(doors, d)
	}
	doors = append(doors, t.GreeterDoors()...)
	doors = append(doors, t.otherDoors()...)
	for i := range doors { // lists, never null, for who reads the JSON form
		doors[i].Reasons = append([]string{}, doors[i].Reasons...)
		doors[i].Notes = append([]string{}, doors[i].Notes...)
	}
	return doors, nil
}

func (t Tree) sshDoors(printed string) []Door {
	if !t.exists(sshdConfig) && printed == "" {
		return nil
	}
	conf, err := t.LoadSSHD()
	if err != nil {
		return []Door{{Name: "sshd", Kind: "sshd", State: Wrong, Reasons: []string{err.Error()}, Next: "mend the file, or run doctor as root"}}
	}
	if printed != "" {
		conf.Take(printed)
	}
	s := t.Load(conf.get(conf.global, "pamservicename"))
	v := t.Judge(s)
	return conf.Doors(s.Broken == "" && v.AccountProtects && slices.ContainsFunc(s.Account, Line.Ours))
}

// otherDoors are programs that let people in without PAM.
func (t Tree) otherDoors() []Door {
	var doors []Door
	for _, p := range []struct{ name, file, why, next string }{
		{"dropbear", "/usr/sbin/dropbear", "an ssh server that asks no PAM module", "use sshd, or remove dropbear"},
		{"tinysshd", "/usr/sbin/tinysshd", "an ssh server that asks no PAM module", "use sshd, or remove tinysshd"},
	} {
		if t.exists(p.file) {
			doors = append(doors, Door{Name: p.name, Kind: "other", State: Open, Reasons: []string{p.file + " is installed: " + p.why}, Next: p.next})
		}
	}
	return doors
}
