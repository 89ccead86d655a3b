import Data.List (group, sort)

main :: IO ()
main = interact $ unlines . map line . group . sort . words
  where
    line same = head same ++ " " ++ show (length same)
