// Now prints the wall clock, for the test that looks for the test clock.
package main

import (
	"fmt"

	"latchkey/internal/clock"
)

func main() { fmt.Println(clock.System().Now().Unix()) }
