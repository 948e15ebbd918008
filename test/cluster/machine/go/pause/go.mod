module dormouse.test/cluster/pause

go 1.26
