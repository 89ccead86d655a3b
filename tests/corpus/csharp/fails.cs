using System;

class Fails
{
    static int Main()
    {
        Console.WriteLine("before");
        Console.Error.WriteLine("wrong");
        return 3;
    }
}
