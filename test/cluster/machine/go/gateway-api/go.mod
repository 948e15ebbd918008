module dormouse.test/cluster/gateway-api

go 1.26.0

// Only the files of the module are used (config/crd), none of its code: not for `go mod tidy`, which would take it out.
require sigs.k8s.io/gateway-api v1.6.2
