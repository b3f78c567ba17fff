//go:build !linux

package stack

import "errors"

// Now: there is no PAM stack of this kind to keep on other systems.
func Now() (Moment, error) { return Moment{}, errors.New("pam stacks are changed on Linux only") }
