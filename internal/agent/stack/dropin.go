package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// dropIn makes sshd ask behind a key, too: a key skips PAM's auth phase.
const dropIn = `# A key skips the auth phase of PAM: ask for the code behind it.
UsePAM yes
KbdInteractiveAuthentication yes
AuthenticationMethods publickey,keyboard-interactive:pam keyboard-interactive:pam
`

// sshd adds the drop-in where it is needed and would work.
func (p *planner) sshd() error {
	if !p.tree.exists(sshdConfig) {
		p.note("%s is not there: if an sshd runs here, give it AuthenticationMethods publickey,keyboard-interactive:pam", sshdConfig)
		return nil
	}
	c, err := p.dropIn()
	if err != nil {
		return err
	}
	if c.Existed && bytes.Equal(c.Before, []byte(dropIn)) {
		return nil
	}
	if c.Existed {
		return fmt.Errorf("%s is not what this program wrote: look at it and remove it first", sshdDropIn)
	}
	c.After = []byte(dropIn)
	conf, err := p.tree.with(&c).LoadSSHD()
	if err != nil {
		return err
	}
	if conf.get(conf.global, "authenticationmethods") != "publickey,keyboard-interactive:pam keyboard-interactive:pam" {
		p.note("%s does not take %s, or says something else before: put these lines there by hand:\n%s", sshdConfig, sshdDropIn, dropIn)
		return nil
	}
	for _, d := range conf.Doors(false) {
		if d.State != Protected {
			p.note("%s stays %s: %s", d.Name, d.State, d.Reasons[0])
		}
	}
	p.add(c)
	return nil
}

func (p *planner) dropSSHD() error {
	c, err := p.dropIn()
	if err != nil || !c.Existed {
		return err
	}
	if !bytes.Equal(c.Before, []byte(dropIn)) {
		p.note("%s is not what this program wrote and stays", sshdDropIn)
		return nil
	}
	c.Remove, c.After = true, nil
	p.add(c)
	return nil
}

// dropIn is the file as it is.
func (p *planner) dropIn() (Change, error) {
	c := Change{File: sshdDropIn, Mode: 0o644, UID: -1, GID: -1}
	info, err := os.Lstat(p.tree.plainPath(sshdDropIn))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, plain(err)
	}
	if !info.Mode().IsRegular() {
		return c, fmt.Errorf("%s %w", sshdDropIn, ErrLink)
	}
	c.Before, err = p.tree.read(sshdDropIn)
	c.Existed, c.Mode = true, info.Mode().Perm()
	c.UID, c.GID = owner(info)
	return c, err
}
