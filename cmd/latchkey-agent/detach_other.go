//go:build !unix

package main

import "errors"

func startDetached(...string) error { return errors.New("login stacks are changed on Linux only") }
