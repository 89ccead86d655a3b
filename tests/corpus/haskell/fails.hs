import System.Exit (ExitCode (ExitFailure), exitWith)
import System.IO (hPutStrLn, stderr)

main :: IO ()
main = do
  putStrLn "before"
  hPutStrLn stderr "wrong"
  exitWith (ExitFailure 3)
