//go:build !linux

package supervisor

func monotonic() (int64, bool) { return 0, false }
