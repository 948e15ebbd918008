//go:build tools

// Package programs names what is built of the module, for `go mod tidy`.
package programs

import (
	_ "sigs.k8s.io/gateway-api/conformance"
	_ "sigs.k8s.io/gateway-api/conformance/echo-basic"
)
