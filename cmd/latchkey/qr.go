package main

import (
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"
)

// quiet is the light margin that scanners need, in modules (ISO/IEC 18004).
const quiet = 4

// drawQR draws text as a QR code of half blocks, two modules a character, dark
// on light whatever the terminal's colours are. What does not fit is not drawn:
// the address above it says the same.
func drawQR(w io.Writer, text string) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return
	}
	for y := -quiet; y < code.Size+quiet; y += 2 {
		var line strings.Builder
		for x := -quiet; x < code.Size+quiet; x++ {
			line.WriteString(half(code.Black(x, y), code.Black(x, y+1)))
		}
		fmt.Fprintln(w, line.String())
	}
}

// half draws light modules: most terminals are dark.
func half(top, bottom bool) string {
	switch {
	case top && bottom:
		return " "
	case top:
		return "▄"
	case bottom:
		return "▀"
	}
	return "█"
}
