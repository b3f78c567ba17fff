package httpd

import "time"

// Tests wait for a body that never comes: not for as long as people may.
func init() { bodyTimeout = 700 * time.Millisecond }
