module Main where

import qualified Data.Map as Map

isPrime :: Int -> Bool
isPrime n = all (\i -> n `mod` i /= 0) (takeWhile (\i -> i * i <= n) [2 ..])

main :: IO ()
main = do
  let primes = Map.keys (Map.filterWithKey (\n _ -> isPrime n) (Map.fromList [(n, ()) | n <- [2 .. 49]]))
  putStrLn (unwords (map show primes))
  print (sum primes)
