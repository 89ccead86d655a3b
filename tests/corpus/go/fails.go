package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("before")
	fmt.Fprintln(os.Stderr, "wrong")
	os.Exit(3)
}
