//go:build !linux

package bugreport

import "errors"

func space(string) (free, all uint64, err error) {
	return 0, 0, errors.New("this system does not say")
}
