#include <cstdlib>
#include <iostream>

int main()
{
    std::cout << "before" << std::endl;
    std::cerr << "wrong\n";
    std::exit(3);
}
