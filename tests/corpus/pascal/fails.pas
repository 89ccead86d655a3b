program Fails;
begin
  WriteLn('before');
  WriteLn(StdErr, 'wrong');
  Halt(3);
end.
