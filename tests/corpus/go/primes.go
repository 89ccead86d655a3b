package main

import (
	"fmt"
	"strings"
	"sync"
)

func isPrime(n int) bool {
	for i := 2; i*i <= n; i++ {
		if n%i == 0 {
			return false
		}
	}
	return true
}

func main() {
	found := make(chan int)
	var workers sync.WaitGroup
	workers.Add(1)
	go func() {
		defer workers.Done()
		defer close(found)
		for n := 2; n < 50; n++ {
			if isPrime(n) {
				found <- n
			}
		}
	}()
	var words []string
	sum := 0
	for n := range found {
		words = append(words, fmt.Sprint(n))
		sum += n
	}
	workers.Wait()
	fmt.Println(strings.Join(words, " "))
	fmt.Println(sum)
}
