//go:build !linux

package agent

import "errors"

func harden()  {}
func conceal() {}

func become(string) error {
	return errors.New("becoming another user is not possible on this system: let the service manager start the agent as that user")
}
